// conv_reduce.wgsl: adds the partial sums of a gradient, always in the same order.
//
//   y[i] = sum over split of parts[split,i]
//
// parts, y  [SPLITS, SIZE], [SIZE] f32
// grid      one thread per element, folded over x and y
// numerics  f32; always the same order of additions
// source    own work
// used by src/kernels/convRun.ts
const WG: u32 = 64;        // threads per workgroup

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let size = arrayLength(&y);
  let i = (id.y * groups.x + id.x) * WG + local;
  if (i >= size) { return; }
  var sum = 0.0;
  for (var p = i; p < arrayLength(&parts); p += size) {
    sum += parts[p];
  }
  y[i] = sum;
}
