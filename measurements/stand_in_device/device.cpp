// A device for torch whose memory is the processor's and whose tensors refuse to meet the processor's.
// Every operation runs on copies there; see README.md.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/extension.h>
#include <torch/library.h>

#include <set>
#include <string>

namespace {

using at::IntArrayRef;
using at::Tensor;
template <typename T>
using Maybe = std::optional<T>;

constexpr auto kDevice = c10::DeviceType::PrivateUse1;
const c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

struct Memory final : c10::Allocator {
  static void release(void* at) { std::free(at); }
  c10::DataPtr allocate(size_t bytes) override {
    void* at = bytes ? std::aligned_alloc(64, (bytes + 63) / 64 * 64) : nullptr;
    return {at, at, &release, c10::Device(kDevice, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t bytes) const final {
    std::memcpy(to, from, bytes);
  }
};
Memory memory;
REGISTER_ALLOCATOR(kDevice, &memory);

struct Guard final : c10::impl::DeviceGuardImplInterface {
  explicit Guard(c10::DeviceType = kDevice) {}
  static c10::Stream only() {
    return c10::Stream(c10::Stream::DEFAULT, c10::Device(kDevice, 0));
  }
  c10::DeviceType type() const override { return kDevice; }
  c10::Device exchangeDevice(c10::Device) const override { return {kDevice, 0}; }
  c10::Device getDevice() const override { return {kDevice, 0}; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const override { return only(); }
  c10::Stream getDefaultStream(c10::Device) const override { return only(); }
  c10::Stream getNewStream(c10::Device, int) const override { return only(); }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void**, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(void*, c10::DeviceIndex) const noexcept override {}
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeEvent(void*) const override {}
  void recordDataPtrOnStream(const c10::DataPtr&, const c10::Stream&) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return at::detail::getDefaultCPUGenerator();
  }
};
Hooks hooks;
const bool registered = (at::RegisterPrivateUse1HooksInterface(&hooks), true);

// The same memory, seen as the processor's.
Tensor seen(const Tensor& tensor) {
  if (!tensor.is_privateuseone()) return tensor;
  const auto count = static_cast<int64_t>(tensor.storage().nbytes() / tensor.itemsize());
  void* at = const_cast<void*>(tensor.storage().data());
  return at::from_blob(at, {count}, at::TensorOptions().dtype(tensor.scalar_type()))
      .as_strided(tensor.sizes(), tensor.strides(), tensor.storage_offset());
}

Tensor made(IntArrayRef sizes, Maybe<at::ScalarType> type, Maybe<at::Layout>, Maybe<at::Device>,
             Maybe<bool>, Maybe<at::MemoryFormat> format) {
  return at::detail::empty_generic(sizes, &memory, kKeys, c10::dtype_or_default(type), format);
}

Tensor made_strided(IntArrayRef sizes, IntArrayRef strides, Maybe<at::ScalarType> type,
                     Maybe<at::Layout>, Maybe<at::Device>, Maybe<bool>) {
  const auto kind = c10::dtype_or_default(type);
  return at::detail::empty_strided_generic(sizes, strides, &memory, kKeys, kind);
}

const Tensor& sized(const Tensor& tensor, IntArrayRef sizes, Maybe<at::MemoryFormat>) {
  const auto need =
      (c10::multiply_integers(sizes) + tensor.storage_offset()) * tensor.itemsize();
  auto* storage = tensor.storage().unsafeGetStorageImpl();
  if (storage->nbytes() < static_cast<size_t>(need)) {
    auto larger = memory.allocate(need);
    if (storage->nbytes()) std::memcpy(larger.get(), storage->data(), storage->nbytes());
    storage->set_data_ptr(std::move(larger));
    storage->set_nbytes(need);
  }
  tensor.unsafeGetTensorImpl()->set_sizes_contiguous(sizes);
  return tensor;
}

Tensor copied(const Tensor& from, const Tensor& to, bool) {
  seen(to).copy_(seen(from));
  return to;
}

Tensor copied_whole(const Tensor& from, const Tensor& to) {
  sized(to, from.sizes(), {});
  return copied(from, to, false);
}

at::Scalar number(const Tensor& tensor) { return seen(tensor).item(); }

Tensor& rebased(Tensor& tensor, at::Storage storage, int64_t offset, IntArrayRef sizes,
            IntArrayRef strides) {
  auto* own = tensor.unsafeGetTensorImpl();
  own->set_storage_keep_dtype(std::move(storage));
  own->set_storage_offset(offset);
  if (strides.size() == sizes.size()) own->set_sizes_and_strides(sizes, strides);
  else own->set_sizes_contiguous(sizes);
  return tensor;
}

// CUDA takes indices of the processor, and numbers without a dimension, and nothing else of it.
void refuse_two_devices(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  static const std::set<std::string> takes = {"aten::index", "aten::index_put_",
                                              "aten::_index_put_impl_", "aten::copy_"};
  const auto& name = op.schema().operator_name().name;
  if (takes.count(name)) return;
  bool ours = false, processors = false;
  const auto look = [&](const Tensor& t) {
    if (t.defined() && t.dim() > 0) (t.is_privateuseone() ? ours : processors) = true;
  };
  for (const auto& value : torch::jit::last(*stack, op.schema().arguments().size())) {
    if (value.isTensor()) look(value.toTensor());
    if (value.isTensorList()) for (const Tensor& t : value.toTensorList()) look(t);
  }
  TORCH_CHECK(!(ours && processors), "Expected all tensors to be on the same device in ", name);
}

void everything_else(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  refuse_two_devices(op, stack);
  at::native::cpu_fallback(op, stack);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &made);
  m.impl("empty_strided", &made_strided);
  m.impl("resize_", &sized);
  m.impl("_copy_from", &copied);
  m.impl("_copy_from_and_resize", &copied_whole);
  m.impl("_local_scalar_dense", &number);
  m.impl("set_.source_Storage_storage_offset", &rebased);
  m.impl("as_strided", &at::native::as_strided_tensorimpl);
  m.impl("view", &at::native::view);
  m.impl("_reshape_alias", &at::native::_reshape_alias);
  m.impl("unfold", &at::native::unfold);
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&everything_else>());
}

}  // namespace
