// What the subcommands `vesalius import FORMAT` share: their flags, and the import itself with
// progress, warnings, table and JSON.
#pragma once

#include <vector>

#include "data/import/importer.h"
#include "data/import/source.h"
#include "launch/command.h"

namespace vesalius::launch {

// --in (with `in` as its help), --out, then `own`, then the flags of every importer.
std::vector<Flag> ImportFlags(const Flag& in, const std::vector<Flag>& own);

// What the shared flags say.
data::SourceOptions SourceFlags();

// Imports as the shared flags say, and prints the table.
ExitCode RunImport(const data::Importer& importer);

}  // namespace vesalius::launch
