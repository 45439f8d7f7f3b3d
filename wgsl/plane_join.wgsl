// plane_join.wgsl: adds up the slices that plane_sum.wgsl wrote.
//
//   y[p] = FACTOR * sum over t of partial[p*T + t]
//
// partial   [P, T] f32
// y         [P] f32
// grid      one workgroup per plane, folded; a fixed tree
// numerics  f32
// source    own work
// used by src/kernels/planes.ts
const T: u32 = 4;        // slices per plane
const FACTOR: f32 = 1.0;
const WG: u32 = 64;      // threads per workgroup
const_assert (WG & (WG - 1)) == 0;   // the tree halves WG

@group(0) @binding(0) var<storage, read> partial: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

var<workgroup> sh_sum: array<f32, WG>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_id) local: vec3u) {
  let p = group.y * groups.x + group.x;
  let t = local.x;
  if (p >= arrayLength(&y)) { return; }              // the whole workgroup, so barriers stay uniform
  var sum = 0.0;
  for (var i = t; i < T; i += WG) { sum += partial[p * T + i]; }
  sh_sum[t] = sum;
  for (var half = WG / 2; half > 0; half /= 2) {
    workgroupBarrier();
    if (t < half) { sh_sum[t] += sh_sum[t + half]; }
  }
  if (t == 0) { y[p] = FACTOR * sh_sum[0]; }
}
