#include "data/hdf5/recorder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <type_traits>

#include "base/error.h"

namespace vesalius::data {
namespace {

constexpr haddr_t kMaxAddress = INT64_MAX;

// The library takes a pointer to it for one to its first member.
struct RecordedFile {
  H5FD_t driver{};
  int fd = -1;
  haddr_t end_of_allocation = 0, end_of_file = 0;
  bool skip_values = false, has_values = false;
  ByteRange values;
  std::vector<ByteRange> metadata;
};

static_assert(std::is_standard_layout_v<RecordedFile>);

RecordedFile* Of(H5FD_t* file) { return reinterpret_cast<RecordedFile*>(file); }
const RecordedFile* Of(const H5FD_t* file) { return reinterpret_cast<const RecordedFile*>(file); }

H5FD_t* Open(const char* name, unsigned, hid_t, haddr_t) {
  const int fd = ::open(name, O_RDONLY | O_CLOEXEC);
  struct stat status;
  if (fd < 0 || ::fstat(fd, &status) != 0) {
    if (fd >= 0) ::close(fd);
    return nullptr;
  }
  auto* file = new RecordedFile;
  file->fd = fd;
  file->end_of_file = static_cast<haddr_t>(status.st_size);
  return &file->driver;
}

herr_t Close(H5FD_t* file) {
  ::close(Of(file)->fd);
  delete Of(file);
  return 0;
}

herr_t Query(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

herr_t Read(H5FD_t* driver, H5FD_mem_t type, hid_t, haddr_t address, size_t size, void* buffer) {
  RecordedFile& file = *Of(driver);
  if (type == H5FD_MEM_DRAW) {
    file.values = {address, size};
    file.has_values = true;
    if (file.skip_values) return 0;
  } else {
    file.metadata.push_back({address, size});
  }
  std::size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(file.fd, static_cast<char*>(buffer) + done, size - done,
                              static_cast<off_t>(address + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return -1;
    done += static_cast<std::size_t>(n);
  }
  return 0;
}

H5FD_class_t MakeClass() {
  H5FD_class_t driver{};
  driver.name = "vesalius_recorder";
  driver.maxaddr = kMaxAddress;
  driver.fc_degree = H5F_CLOSE_STRONG;
  driver.open = Open;
  driver.close = Close;
  driver.query = Query;
  driver.read = Read;
  driver.get_eoa = [](const H5FD_t* file, H5FD_mem_t) { return Of(file)->end_of_allocation; };
  driver.set_eoa = [](H5FD_t* file, H5FD_mem_t, haddr_t address) -> herr_t {
    Of(file)->end_of_allocation = address;
    return 0;
  };
  driver.get_eof = [](const H5FD_t* file, H5FD_mem_t) { return Of(file)->end_of_file; };
  driver.get_handle = [](H5FD_t* file, hid_t, void** handle) -> herr_t {
    *handle = Of(file);
    return 0;
  };
  driver.write = [](H5FD_t*, H5FD_mem_t, hid_t, haddr_t, size_t, const void*) -> herr_t {
    return -1;
  };
  for (H5FD_mem_t& type : driver.fl_map) type = H5FD_MEM_DEFAULT;
  return driver;
}

hid_t DriverId() {
  static const H5FD_class_t driver = MakeClass();
  static const hid_t id = H5FDregister(&driver);
  return id;
}

}  // namespace

Recorder::Recorder(const std::string& path) {
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  if (H5Pset_driver(access.get(), DriverId(), nullptr) < 0) return;
  file_ = Hdf5Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  if (file_.ok())
    Invariant(H5Fget_vfd_handle(file_.get(), H5P_DEFAULT, &recorded_) >= 0 && recorded_ != nullptr,
              "the recorder lost its file");
}

void Recorder::SkipValues(bool skip) { static_cast<RecordedFile*>(recorded_)->skip_values = skip; }

bool Recorder::TakeLastValues(ByteRange* range) {
  auto* file = static_cast<RecordedFile*>(recorded_);
  *range = file->values;
  return std::exchange(file->has_values, false);
}

const std::vector<ByteRange>& Recorder::metadata() const {
  return static_cast<const RecordedFile*>(recorded_)->metadata;
}

}  // namespace vesalius::data
