// argmax.wgsl: where the largest number lies along a dimension; the first one where several are equal.
//
//   y[o, i] = the smallest r with  x[o, r, i] = max over r of x[o, r, i]
//
// x         [OUTER, R, INNER] f32      y   [OUTER, INNER] i32
// grid      WG / LANES results per workgroup, linear, folded at 65,535 workgroups
// numerics  comparisons only, so exact
// source    PyTorch's `argmax`, except that the first of equal numbers always wins
// used by src/kernels/reduce.ts
const WG: u32 = 64;       // threads per workgroup
const LANES: u32 = 1;     // threads that share one result: 1, or WG for long lines
const R: u32 = 7;
const INNER: u32 = 5;
const_assert LANES == 1 || LANES == WG;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<i32>;

var<workgroup> value: array<f32, LANES>;
var<workgroup> place: array<u32, LANES>;

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) t: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let line = (group.y * groups.x + group.x) * (WG / LANES) + select(t, 0u, LANES == WG);
  let lane = select(0u, t, LANES == WG);
  let inside = line < arrayLength(&y);
  let first = (line / INNER) * R * INNER + line % INNER;
  var best = -0x1.fffffep+127f;
  var at = lane;
  if (inside) {
    for (var r = lane; r < R; r += LANES) {
      let v = x[first + r * INNER];
      if (v > best) {
        best = v;
        at = r;
      }
    }
  }
  if (LANES == 1) {
    if (inside) { y[line] = i32(at); }
    return;
  }
  value[lane] = best;
  place[lane] = at;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane < half) {
      let v = value[lane + half];
      let p = place[lane + half];
      if (v > value[lane] || (v == value[lane] && p < place[lane])) {
        value[lane] = v;
        place[lane] = p;
      }
    }
  }
  if (lane == 0u && inside) { y[line] = i32(place[0]); }
}
