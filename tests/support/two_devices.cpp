// A second device for fakecuda, and a check that every call runs where its arguments are.
//
// Compiled into fakecuda's driver and into its cuBLAS, whose functions of the same names are renamed
// by macros (see two_devices.py) and called from here. Both devices are this CPU; what distinguishes them
// apart is written down: the device that was current when memory was taken, a stream or an event was
// made, a module was loaded. A GPU answers a call on the wrong one with an illegal address or an
// invalid handle, or does it out of order; here it is an error, and `two_devices_fault` returns which.
#include <cstdint>
#include <cstdio>
#include <map>
#include <mutex>

#define INNER(name) one_device_##name

extern "C" {
const char* two_devices_fault();
void two_devices_use(int count);
int two_devices_current();
int two_devices_check(const char* what, const void* address);
int two_devices_check_stream(const char* what, const void* stream);
int two_devices_fail(const char* what, int where, int current);
}

#ifdef DRIVER

extern "C" char fk_error[512];

namespace {
constexpr int FAULT = 400;  // invalid handle
struct Kernel {  // as fakecuda's begins: meta has the number of parameters, their places and sizes
  void* function;
  const int* meta;
};
int devices = 1;
thread_local int current = 0;
char fault[512] = "";
std::mutex guard;
struct Memory {
  size_t size;
  int device;
};
std::map<uint64_t, Memory> memories;
std::map<const void*, int> streams, events, modules, functions;

int device_of(const void* address) {  // -1: not of a device
  std::lock_guard<std::mutex> lock(guard);
  auto next = memories.upper_bound((uint64_t)address);
  if (next == memories.begin()) return -1;
  --next;
  return (uint64_t)address < next->first + next->second.size ? next->second.device : -1;
}
int known(const std::map<const void*, int>& table, const void* key) {
  std::lock_guard<std::mutex> lock(guard);
  auto found = table.find(key);
  return found == table.end() ? -1 : found->second;
}
int remember(std::map<const void*, int>& table, const void* key, int status) {
  std::lock_guard<std::mutex> lock(guard);
  if (!status) table[key] = current;
  return status;
}
int taken(void* address, size_t size, int status) {
  std::lock_guard<std::mutex> lock(guard);
  if (!status) memories[(uint64_t)address] = {size ? size : 1, current};
  return status;
}
int copied(const char* what, const void* to, const void* from, const void* stream) {
  int of_stream = known(streams, stream), where = of_stream < 0 ? current : of_stream;
  bool inside = false, any = false;
  for (const void* address : {to, from}) {
    int device = device_of(address);
    any |= device >= 0;
    inside |= device == where;
  }
  if (!any || inside) return 0;
  int device = device_of(to);
  return two_devices_fail(what, device < 0 ? device_of(from) : device, where);
}
}  // namespace

extern "C" {
const char* two_devices_fault() { return fault; }
void two_devices_use(int count) {
  devices = count;
  fault[0] = 0;
}
int two_devices_current() { return current; }
int two_devices_fail(const char* what, int where, int now) {
  snprintf(fk_error, sizeof fk_error, "%s of device %d on device %d", what, where, now);
  if (!fault[0]) snprintf(fault, sizeof fault, "%s", fk_error);
  return FAULT;
}
int two_devices_check(const char* what, const void* address) {
  int device = device_of(address);
  return device < 0 || device == current ? 0 : two_devices_fail(what, device, current);
}
int two_devices_check_stream(const char* what, const void* stream) {
  int device = known(streams, stream);
  return device < 0 || device == current ? 0 : two_devices_fail(what, device, current);
}

// ---- devices -----------------------------------------------------------------------------------
int fk_cudaGetDeviceCount(int* n) { *n = devices; return 0; }
int cuDeviceGetCount(int* n) { *n = devices; return 0; }
int fk_cudaGetDevice(int* device) { *device = current; return 0; }
int cuCtxGetDevice(int* device) { *device = current; return 0; }
int fk_cudaSetDevice(int device) {
  if (device < 0 || device >= devices) return 101;
  current = device;
  return 0;
}

// ---- memory ------------------------------------------------------------------------------------
int INNER(fk_cudaMalloc)(void**, size_t);
int INNER(fk_cudaFree)(void*);
int fk_cudaMalloc(void** p, size_t n) {
  int status = INNER(fk_cudaMalloc)(p, n);
  return taken(*p, n, status);
}
int fk_cudaMallocAsync(void** p, size_t n, void*) { return fk_cudaMalloc(p, n); }
int fk_cudaFree(void* p) {
  {
    std::lock_guard<std::mutex> lock(guard);
    memories.erase((uint64_t)p);
  }
  return INNER(fk_cudaFree)(p);
}
int fk_cudaFreeAsync(void* p, void*) { return fk_cudaFree(p); }
int INNER(fk_cudaMemcpy)(void*, const void*, size_t, int);
int fk_cudaMemcpy(void* to, const void* from, size_t n, int kind) {
  int status = copied("a copy", to, from, nullptr);
  return status ? status : INNER(fk_cudaMemcpy)(to, from, n, kind);
}
int INNER(fk_cudaMemcpyAsync)(void*, const void*, size_t, int, void*);
int fk_cudaMemcpyAsync(void* to, const void* from, size_t n, int kind, void* stream) {
  int status = copied("a copy", to, from, stream);
  return status ? status : INNER(fk_cudaMemcpyAsync)(to, from, n, kind, stream);
}
int INNER(fk_cudaMemset)(void*, int, size_t);
int fk_cudaMemset(void* p, int value, size_t n) {
  int status = copied("a fill", p, p, nullptr);
  return status ? status : INNER(fk_cudaMemset)(p, value, n);
}
int INNER(fk_cudaMemsetAsync)(void*, int, size_t, void*);
int fk_cudaMemsetAsync(void* p, int value, size_t n, void* stream) {
  int status = copied("a fill", p, p, stream);
  return status ? status : INNER(fk_cudaMemsetAsync)(p, value, n, stream);
}
struct Attributes {
  int type, device;
  void *on_device, *on_host;
};
int INNER(fk_cudaPointerGetAttributes)(Attributes*, const void*);
int fk_cudaPointerGetAttributes(Attributes* found, const void* p) {
  int status = INNER(fk_cudaPointerGetAttributes)(found, p), device = device_of(p);
  found->device = device < 0 ? 0 : device;
  return status;
}

// ---- streams and events ------------------------------------------------------------------------
int INNER(fk_cudaStreamCreate)(void**);
int fk_cudaStreamCreate(void** s) {
  int status = INNER(fk_cudaStreamCreate)(s);
  return remember(streams, *s, status);
}
int INNER(fk_cudaStreamCreateWithFlags)(void**, unsigned);
int fk_cudaStreamCreateWithFlags(void** s, unsigned flags) {
  int status = INNER(fk_cudaStreamCreateWithFlags)(s, flags);
  return remember(streams, *s, status);
}
int INNER(fk_cudaEventCreateWithFlags)(void**, unsigned);
int fk_cudaEventCreateWithFlags(void** e, unsigned flags) {
  int status = INNER(fk_cudaEventCreateWithFlags)(e, flags);
  return remember(events, *e, status);
}
int INNER(fk_cudaEventCreate)(void**);
int fk_cudaEventCreate(void** e) {
  int status = INNER(fk_cudaEventCreate)(e);
  return remember(events, *e, status);
}
int INNER(fk_cudaEventRecord)(void*, void*);
int fk_cudaEventRecord(void* e, void* stream) {
  int of_event = known(events, e), of_stream = known(streams, stream);
  int where = of_stream < 0 ? current : of_stream;
  if (of_event >= 0 && of_event != where) return two_devices_fail("an event", of_event, where);
  return INNER(fk_cudaEventRecord)(e, stream);
}
int INNER(fk_cudaEventSynchronize)(void*);
int fk_cudaEventSynchronize(void* e) {  // legal on a GPU, but a new thread's memory on device 0
  int device = known(events, e);
  if (device >= 0 && device != current) return two_devices_fail("a wait for an event", device, current);
  return INNER(fk_cudaEventSynchronize)(e);
}
int INNER(fk_cudaGraphLaunch)(void*, void*);
int fk_cudaGraphLaunch(void* graph, void* stream) {
  int status = two_devices_check_stream("a graph's stream", stream);
  return status ? status : INNER(fk_cudaGraphLaunch)(graph, stream);
}

// ---- kernels -----------------------------------------------------------------------------------
int INNER(cuModuleLoadData)(void**, const void*);
int cuModuleLoadData(void** module, const void* image) {
  int status = INNER(cuModuleLoadData)(module, image);
  return remember(modules, *module, status);
}
int INNER(cuModuleGetFunction)(void**, void*, const char*);
int cuModuleGetFunction(void** function, void* module, const char* name) {
  int status = INNER(cuModuleGetFunction)(function, module, name), device = known(modules, module);
  std::lock_guard<std::mutex> lock(guard);
  if (!status) functions[*function] = device;
  return status;
}
int INNER(cuLaunchKernel)(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                          unsigned, void*, void**, void**);
int cuLaunchKernel(void* f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, void* stream, void** p, void** extra) {
  const int* meta = ((Kernel*)f)->meta;
  int status = two_devices_check_stream("a kernel's stream", stream), device = known(functions, f);
  if (!status && device >= 0 && device != current)
    status = two_devices_fail("a kernel", device, current);
  for (int i = 0; !status && i < meta[2]; ++i)  // CuPy's own arrays begin with their address, too
    if (meta[4 + 2 * i] >= 8) status = two_devices_check("a kernel's array", *(void**)p[i]);
  return status ? status : INNER(cuLaunchKernel)(f, gx, gy, gz, bx, by, bz, shared, stream, p, extra);
}
}

#else  // cuBLAS

namespace {
std::map<const void*, int> handles;
uint64_t last_handle = 0x700;
int checked(const void* handle, const void* a, const void* b, const void* c) {
  auto found = handles.find(handle);
  int status = 0, now = two_devices_current();
  if (found != handles.end() && found->second != now)
    status = two_devices_fail("a cuBLAS handle", found->second, now);
  for (const void* array : {a, b, c})
    if (!status) status = two_devices_check("a product's array", array);
  return status ? 13 : 0;  // "execution failed"
}
}  // namespace

extern "C" {
int cublasCreate_v2(void** h) {
  *h = (void*)++last_handle;
  handles[*h] = two_devices_current();
  return 0;
}
int INNER(cublasSetStream_v2)(void*, void*);
int cublasSetStream_v2(void* h, void* stream) {
  return two_devices_check_stream("a product's stream", stream) ? 13 : INNER(cublasSetStream_v2)(h, stream);
}
int INNER(cublasGemmStridedBatchedEx)(void*, int, int, int, int, int, const void*, const void*, int,
                                      int, long long, const void*, int, int, long long, const void*,
                                      void*, int, int, long long, int, int, int);
int cublasGemmStridedBatchedEx(void* h, int ta, int tb, int m, int n, int k, const void* al,
                               const void* A, int at, int lda, long long sa, const void* B, int bt,
                               int ldb, long long sb, const void* be, void* C, int ct, int ldc,
                               long long sc, int count, int comp, int algo) {
  int status = checked(h, A, B, C);
  return status ? status
                : INNER(cublasGemmStridedBatchedEx)(h, ta, tb, m, n, k, al, A, at, lda, sa, B, bt,
                                                    ldb, sb, be, C, ct, ldc, sc, count, comp, algo);
}
int INNER(cublasGemmEx)(void*, int, int, int, int, int, const void*, const void*, int, int,
                        const void*, int, int, const void*, void*, int, int, int, int);
int cublasGemmEx(void* h, int ta, int tb, int m, int n, int k, const void* al, const void* A, int at,
                 int lda, const void* B, int bt, int ldb, const void* be, void* C, int ct, int ldc,
                 int comp, int algo) {
  int status = checked(h, A, B, C);
  return status ? status
                : INNER(cublasGemmEx)(h, ta, tb, m, n, k, al, A, at, lda, B, bt, ldb, be, C, ct, ldc,
                                      comp, algo);
}
int INNER(cublasDgemm_v2)(void*, int, int, int, int, int, const double*, const double*, int,
                          const double*, int, const double*, double*, int);
int cublasDgemm_v2(void* h, int ta, int tb, int m, int n, int k, const double* al, const double* A,
                   int lda, const double* B, int ldb, const double* be, double* C, int ldc) {
  int status = checked(h, A, B, C);
  return status ? status : INNER(cublasDgemm_v2)(h, ta, tb, m, n, k, al, A, lda, B, ldb, be, C, ldc);
}
}
#endif
