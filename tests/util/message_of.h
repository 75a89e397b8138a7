// What a call throws, as text; its code must be `code`.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace vesalius {

template <typename Call>
std::string MessageOf(ExitCode code, Call call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace vesalius
