// Runs one golden case of PyTorch on the GPU: outputs, then the gradient of sum(y * cot) for every differentiated
// input.
import { type Tensor, backward, record, step, tensor, zeros } from "../../src/index.ts";
import { expectClose, upload } from "../check.ts";
import type { GoldenCase } from "../golden.ts";

/**
 * Throws at the first output or gradient of `op` that lies outside the case's tolerance. Outputs without a graph are
 * only compared.
 */
export async function checkGolden(c: GoldenCase, op: (inputs: Record<string, Tensor>) => Tensor[]): Promise<void> {
  const inputs = Object.fromEntries(Object.entries(c.inputs).map(([name, x]) => [name, upload(x)]));
  const outputs = await step(() => {
    const ys = op(inputs);
    const cots = (
      c.cots.length > 0 ? c.cots : ys.map((y) => ({ shape: y.shape, data: new Float64Array(y.size).fill(1) }))
    ).map((cot) => tensor(Float32Array.from(cot.data), { shape: cot.shape }));
    const wanted = ys.flatMap((y, k) => (y.requiresGrad ? [k] : []));
    if (Object.keys(c.grads).length > 0)
      backward(
        record(
          zeros([1]),
          wanted.map((k) => ys[k]),
          () => wanted.map((k) => cots[k]),
        ),
      );
    return ys;
  });
  for (const [k, y] of c.outputs.entries()) {
    expectClose(`${c.name}: y${k}`, { shape: outputs[k].shape, data: await outputs[k].read() }, y, y.tol);
  }
  for (const [name, g] of Object.entries(c.grads)) {
    const grad = inputs[name].grad;
    if (!grad) throw new Error(`${c.name}: no gradient for ${name}`);
    expectClose(`${c.name}: d${name}`, { shape: grad.shape, data: await grad.read() }, g, g.tol);
  }
}
