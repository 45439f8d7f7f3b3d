// bench_fma.wgsl: as many fused multiply-adds as the device can issue, for its arithmetic ceiling.
//
//   STEPS rounds of LANES independent chains v = v * a + b per thread, two operations each
//
// x         [1] f32  the factor a, data so that nothing can be folded away
// y         [n] f32  one result per thread
// grid      linear, n / WG workgroups
// numerics  the chains stay near 1: a is close to 1 and b small
// source    own work
// used by bench/ceiling.ts
const WG: u32 = 64;
const STEPS: u32 = 256;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = vec4f(x[0]);
  let b = vec4f(1e-7);
  var v0 = vec4f(f32(id.x)); var v1 = v0 + 1.0; var v2 = v0 + 2.0; var v3 = v0 + 3.0;
  for (var i = 0u; i < STEPS; i++) {
    v0 = fma(v0, a, b); v1 = fma(v1, a, b); v2 = fma(v2, a, b); v3 = fma(v3, a, b);
    v0 = fma(v0, a, b); v1 = fma(v1, a, b); v2 = fma(v2, a, b); v3 = fma(v3, a, b);
    v0 = fma(v0, a, b); v1 = fma(v1, a, b); v2 = fma(v2, a, b); v3 = fma(v3, a, b);
    v0 = fma(v0, a, b); v1 = fma(v1, a, b); v2 = fma(v2, a, b); v3 = fma(v3, a, b);
  }
  let s = v0 + v1 + v2 + v3;
  if (id.x < arrayLength(&y)) { y[id.x] = s.x + s.y + s.z + s.w; }
}
