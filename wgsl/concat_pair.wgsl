// concat_pair.wgsl: every row of a followed by the same row of b.
//
//   y[row] = a[row] ++ b[row]
//
// a, b, y   [rows, A], [rows, B], [rows, A + B] T     a row is all that follows the concatenated dimension's parents
// T         a scalar, or a vector of four where A and B divide by four (both counted in T)
// grid      linear, one thread per element of y, folded at 65,535 workgroups
// numerics  exact: values are only moved
// source    own work
// used by src/kernels/layout.ts
alias T = f32;
const A: u32 = 4;
const B: u32 = 4;
const WG: u32 = 64;   // threads per workgroup

@group(0) @binding(0) var<storage, read> a: array<T>;
@group(0) @binding(1) var<storage, read> b: array<T>;
@group(0) @binding(2) var<storage, read_write> y: array<T>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  let row = i / (A + B);
  let j = i % (A + B);
  if (j < A) {
    y[i] = a[row * A + j];
  } else {
    y[i] = b[row * B + (j - A)];
  }
}
