// Runs an exported network on one made-up jet and prints every output:
//
//   ./jet network.onnx 5        a jet with five constituents of each kind
//
// The network is one of `maskformer export --format onnx`, without --batched.
#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " NETWORK.onnx NUMBER_OF_CONSTITUENTS\n";
    return 2;
  }
  try {
    const std::int64_t number = std::atoi(argv[2]);
    Ort::Env env(ORT_LOGGING_LEVEL_ERROR, "jet");
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    Ort::Session session(env, argv[1], options);
    Ort::AllocatorWithDefaultOptions allocator;
    auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);

    // Raw fields in the order and the units of the metadata `gnn_config` and `maskformer_jax`.
    std::vector<std::string> inputNames, outputNames;
    std::vector<std::vector<float>> values;
    std::vector<Ort::Value> inputs;
    for (std::size_t i = 0; i < session.GetInputCount(); ++i) {
      inputNames.push_back(session.GetInputNameAllocated(i, allocator).get());
      auto shape = session.GetInputTypeInfo(i).GetTensorTypeAndShapeInfo().GetShape();
      // The number of constituents is free, -1; that of jets is 1.
      if (shape[0] < 0) shape[0] = number;
      values.emplace_back(shape[0] * shape[1], 1.0F);
      inputs.push_back(Ort::Value::CreateTensor<float>(memory, values.back().data(),
                                                       values.back().size(), shape.data(), 2));
    }
    for (std::size_t i = 0; i < session.GetOutputCount(); ++i)
      outputNames.push_back(session.GetOutputNameAllocated(i, allocator).get());
    std::vector<const char*> in, out;
    for (const auto& name : inputNames) in.push_back(name.c_str());
    for (const auto& name : outputNames) out.push_back(name.c_str());
    auto found = session.Run(Ort::RunOptions{nullptr}, in.data(), inputs.data(), in.size(),
                             out.data(), out.size());

    // Numbers are of the jet, vectors of its constituents; int8 are indices.
    for (std::size_t i = 0; i < found.size(); ++i) {
      const auto info = found[i].GetTensorTypeAndShapeInfo();
      const bool isFloat = info.GetElementType() == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
      std::cout << outputNames[i] << ":";
      for (std::size_t k = 0; k < info.GetElementCount(); ++k)
        std::cout << ' ' << (isFloat ? found[i].GetTensorData<float>()[k]
                                     : float(found[i].GetTensorData<std::int8_t>()[k]));
      std::cout << '\n';
    }
  } catch (const Ort::Exception& error) {
    std::cerr << "error: " << error.what() << '\n';
    return 1;
  }
}
