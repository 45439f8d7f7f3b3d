// Matrix products in float64.
import { type NdArray, broadcastShapes, generate, ravel } from "./array.ts";

/**
 * a @ b over the last two dimensions; leading dimensions broadcast. a: [..., M,
 * K]; b: [..., K, P]; returns [..., M, P].
 */
export function matmul(a: NdArray, b: NdArray): NdArray {
  const [m, k] = a.shape.slice(-2);
  const [k2, p] = b.shape.slice(-2);
  if (k !== k2) throw new Error(`matmul: [${a.shape}] @ [${b.shape}]`);
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const matrixOf = (x: NdArray, position: number[]): number => {
    const lead = x.shape.slice(0, -2);
    const own = position.slice(position.length - lead.length);
    return ravel(own.map((v, axis) => (lead[axis] === 1 ? 0 : v)), lead);
  };
  return generate([...batch, m, p], (position) => {
    const [row, column] = position.slice(-2);
    const lead = position.slice(0, -2);
    const first = matrixOf(a, lead) * m * k + row * k;
    const second = matrixOf(b, lead) * k * p + column;
    let sum = 0;
    for (let i = 0; i < k; i++) sum += a.data[first + i] * b.data[second + i * p];
    return sum;
  });
}

/** x @ weight^T + bias. x: [..., IN]; weight: [OUT, IN]; bias: [OUT]; returns [..., OUT]. */
export function linear(x: NdArray, weight: NdArray, bias?: NdArray): NdArray {
  const [out, inputs] = weight.shape;
  return generate([...x.shape.slice(0, -1), out], (_, i) => {
    const column = i % out;
    const first = Math.floor(i / out) * inputs;
    let sum = bias ? bias.data[column] : 0;
    for (let k = 0; k < inputs; k++) sum += x.data[first + k] * weight.data[column * inputs + k];
    return sum;
  });
}
