// wgrad/onnx: models as ONNX files. An entry of its own, so that programs that do not export do not load it.

export { exportOnnx, type Forward, type ForwardModel, type OnnxOptions, type Outputs } from "./export.ts";
export type { InputLike } from "./record.ts";
