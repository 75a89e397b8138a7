// The plain structs of trainer/config.h from a resolved message. Every value is checked where it is
// read, and at the end what must fit together. Errors: kConfig.
#pragma once

#include "trainer/config.h"

namespace vesalius::trainer {

class ConfigProto;

// All but the text.
Config ReadConfig(const ConfigProto& in);

}  // namespace vesalius::trainer
