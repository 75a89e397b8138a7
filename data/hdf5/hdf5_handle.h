// The HDF5 C library behind two small guards. Hdf5Session serialises all calls of this process (the
// library may be built without threads) and silences its error stack; Hdf5Handle owns an
// identifier. Include only from files that call the library.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <utility>

namespace vesalius::data {

// Hold one wherever HDF5 is called, handles being closed included.
class Hdf5Session {
 public:
  Hdf5Session() : lock_(Mutex()) {
    // The error stack is per thread; failures are reported by our own messages.
    thread_local const herr_t silenced = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    (void)silenced;
  }

 private:
  static std::recursive_mutex& Mutex() {
    static std::recursive_mutex mutex;
    return mutex;
  }
  std::lock_guard<std::recursive_mutex> lock_;
};

class Hdf5Handle {
 public:
  using Closer = herr_t (*)(hid_t);
  Hdf5Handle() = default;
  Hdf5Handle(hid_t id, Closer closer) : id_(id), closer_(closer) {}
  Hdf5Handle(Hdf5Handle&& other) noexcept
      : id_(std::exchange(other.id_, -1)), closer_(other.closer_) {}
  Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(closer_, other.closer_);
    return *this;
  }
  ~Hdf5Handle() {
    if (id_ < 0) return;
    const Hdf5Session session;
    closer_(id_);
  }

  hid_t get() const { return id_; }
  bool ok() const { return id_ >= 0; }

 private:
  hid_t id_ = -1;
  Closer closer_ = nullptr;
};

}  // namespace vesalius::data
