// max_pool_tiles_backward.wgsl: gradient of max pooling whose windows tile the input (stride = kernel, no padding).
//
//   dx[p,i] = dy[p,o] where i is the maximum of its window o, else 0
//
// dy, index  [P, OD, OH, OW] f32 and u32     index as max_pool.wgsl wrote it
// dx         [P, OD*KD, OH*KH, OW*KW] f32
// grid       linear, one thread per window, folded; every input belongs to one window
// numerics   exact: values are only moved
// source     PyTorch, `max_pool2d` and `max_pool3d`
// used by src/kernels/pool.ts
const OD: u32 = 1;
const OH: u32 = 4;
const OW: u32 = 4;
const KD: u32 = 1;         // window and stride
const KH: u32 = 2;
const KW: u32 = 2;
const WG: u32 = 64;        // threads per workgroup

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&dy)) { return; }
  const IH = OH * KH;
  const IW = OW * KW;
  let plane = i / (OD * OH * OW) * (OD * KD * IH * IW);
  let start = (i / (OH * OW) % OD * KD * IH + i / OW % OH * KH) * IW + i % OW * KW;
  let g = dy[i];
  let at = index[i];
  for (var kd = 0u; kd < KD; kd++) {
    for (var kh = 0u; kh < KH; kh++) {
      for (var kw = 0u; kw < KW; kw++) {
        let j = start + (kd * IH + kh) * IW + kw;
        dx[plane + j] = select(0.0, g, j == at);
      }
    }
  }
}
