// `vesalius import openi`: the chest films of Indiana University as Open-i distributes them
// (docs/importing.md, "openi"). Reports without any image become a corpus of texts, no data set.
#pragma once

#include <memory>
#include <string>

#include "data/import/importer.h"
#include "data/import/source.h"

namespace vesalius::data {

// `in`: the archive of reports (tar, gzipped or not), or a folder with it or with XML files.
struct OpenIOptions : SourceOptions {
  std::string images;  // folder of the image files; empty = everything beside the reports
};

class OpenIImporter : public Importer {
 public:
  // Whether an image file of any report was found; if not, ImportTexts() is what can be done.
  virtual bool has_images() const = 0;
  // Writes reports.jsonl, vocab.txt and quarantine.jsonl into `out` (nothing with `dry_run`).
  // Error(kCannotCreate), also when reports or a data set are there already.
  virtual ImportReport ImportTexts(const ImportOptions& options) const = 0;
};

// Errors: kInputMissing, kInvalidData, kConfig.
std::unique_ptr<OpenIImporter> OpenOpenI(const OpenIOptions& options);

}  // namespace vesalius::data
