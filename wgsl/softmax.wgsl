// softmax.wgsl: exponentials along a dimension that sum to 1, or their logarithms.
//
//   y[o, r, i] = exp(x[o, r, i] - m) / s     m = max over r of x[o, r, i],  s = sum over r of exp(x[o, r, i] - m)
//   LOG: y = x - m - log(s)
//
// x, y      [OUTER, R, INNER] T            T   f32, or vec4<f32> for four lines at once; INNER counts T
// grid      WG / LANES lines of T per workgroup, linear, folded at 65,535 workgroups
// numerics  f32; the shift by m keeps every exponential at most 1 and s at least 1
// source    own work
// used by src/kernels/softmax.ts
alias T = f32;
const WG: u32 = 64;         // threads per workgroup
const LANES: u32 = 1;       // threads that share a line: 1, or WG for contiguous lines (T = f32, INNER = 1)
const LOG: bool = false;
const R: u32 = 7;
const INNER: u32 = 5;
const_assert LANES == 1 || LANES == WG;

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;

var<workgroup> part: array<T, LANES>;

// The largest of the lanes' values (biggest), or their sum; in the same order in every run.
fn share(lane: u32, v: T, biggest: bool) -> T {
  if (LANES == 1) { return v; }
  workgroupBarrier();   // the part of the call before has been read
  part[lane] = v;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      let other = part[lane + half];
      part[lane] = select(part[lane] + other, max(part[lane], other), biggest);
    }
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
  let count = select(0u, R, line < arrayLength(&y) / R);   // no line here: nothing is read, but the barriers are met
  let first = (line / INNER) * R * INNER + line % INNER;
  var m = T(-0x1.fffffep+127f);
  for (var r = lane; r < count; r += LANES) {
    m = max(m, x[first + r * INNER]);
  }
  m = share(lane, m, true);
  var s = T(0.0);
  for (var r = lane; r < count; r += LANES) {
    s += exp(x[first + r * INNER] - m);
  }
  s = share(lane, s, false);
  let shift = m + log(s);
  let factor = T(1.0) / s;
  for (var r = lane; r < count; r += LANES) {
    let k = first + r * INNER;
    if (LOG) { y[k] = x[k] - shift; } else { y[k] = exp(x[k] - m) * factor; }
  }
}
