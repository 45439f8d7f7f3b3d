// softmax_backward.wgsl: the gradient of softmax.wgsl, from its output.
//
//   dx[o, r, i] = y[o, r, i] * (dy[o, r, i] - sum over q of dy[o, q, i] * y[o, q, i])
//   LOG: dx = dy - exp(y) * sum over q of dy
//
// y, dy, dx [OUTER, R, INNER] T            T   f32, or vec4<f32> for four lines at once; INNER counts T
// grid      WG / LANES lines of T per workgroup, linear, folded at 65,535 workgroups
// numerics  f32; sums as in softmax.wgsl
// source    own work
// used by src/kernels/softmax.ts
alias T = f32;
const WG: u32 = 64;         // threads per workgroup
const LANES: u32 = 1;       // threads that share a line: 1, or WG for contiguous lines (T = f32, INNER = 1)
const LOG: bool = false;
const R: u32 = 7;
const INNER: u32 = 5;
const_assert LANES == 1 || LANES == WG;

@group(0) @binding(0) var<storage, read> y: array<T>;
@group(0) @binding(1) var<storage, read> dy: array<T>;
@group(0) @binding(2) var<storage, read_write> dx: array<T>;

var<workgroup> part: array<T, LANES>;

// The sum of the lanes' values, in the same order in every run.
fn share(lane: u32, v: T) -> T {
  if (LANES == 1) { return v; }
  part[lane] = v;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) { part[lane] += part[lane + half]; }
  }
  workgroupBarrier();
  return part[0];
}

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) t: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let line = (group.y * groups.x + group.x) * (WG / LANES) + select(t, 0u, LANES == WG);
  let lane = select(0u, t, LANES == WG);
  let count = select(0u, R, line < arrayLength(&dx) / R);
  let first = (line / INNER) * R * INNER + line % INNER;
  var s = T(0.0);
  for (var r = lane; r < count; r += LANES) {
    let k = first + r * INNER;
    if (LOG) { s += dy[k]; } else { s += dy[k] * y[k]; }
  }
  s = share(lane, s);
  for (var r = lane; r < count; r += LANES) {
    let k = first + r * INNER;
    if (LOG) { dx[k] = dy[k] - exp(y[k]) * s; } else { dx[k] = y[k] * (dy[k] - s); }
  }
}
