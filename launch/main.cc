// The `vesalius` program.
#include "base/log.h"

int main(int, char** argv) {
  vesalius::log::Init(argv[0]);
  return 0;
}
