// max_pool_backward.wgsl: gradient of max pooling for windows of any kind, gathered by the inputs.
//
//   dx[p,i] = sum of dy[p,o] over the windows o that contain i and have their maximum there
//
// dy, index  [P, OD, OH, OW] f32 and u32     index as max_pool.wgsl wrote it
// dx         [P, ID, IH, IW] f32
// grid       linear, one thread per input, folded; added in order, no atomics
// numerics   f32; always the same order of additions
// source     PyTorch, `max_pool2d` and `max_pool3d`
// used by src/kernels/pool.ts
const ID: u32 = 1;
const IH: u32 = 8;
const IW: u32 = 8;
const OD: u32 = 1;
const OH: u32 = 4;
const OW: u32 = 4;
const SD: i32 = 1;         // stride
const SH: i32 = 2;
const SW: i32 = 2;
const PAD_D: i32 = 0;
const PAD_H: i32 = 0;
const PAD_W: i32 = 0;
const ED: i32 = 1;         // extent of a window: dilation * (kernel - 1) + 1
const EH: i32 = 2;
const EW: i32 = 2;
const WG: u32 = 64;        // threads per workgroup

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read> index: array<u32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

// First window on one axis that can contain position i.
fn first(i: i32, extent: i32, stride: i32, pad: i32) -> i32 {
  return max(i + pad - extent + stride, 0) / stride;
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&dx)) { return; }
  let at = i % (ID * IH * IW);
  let plane = i / (ID * IH * IW) * (OD * OH * OW);
  let d = i32(at / (IH * IW));
  let h = i32(at / IW % IH);
  let w = i32(at % IW);
  var sum = 0.0;
  for (var od = first(d, ED, SD, PAD_D); od <= min((d + PAD_D) / SD, i32(OD) - 1); od++) {
    for (var oh = first(h, EH, SH, PAD_H); oh <= min((h + PAD_H) / SH, i32(OH) - 1); oh++) {
      for (var ow = first(w, EW, SW, PAD_W); ow <= min((w + PAD_W) / SW, i32(OW) - 1); ow++) {
        let o = plane + (u32(od) * OH + u32(oh)) * OW + u32(ow);
        if (index[o] == at) { sum += dy[o]; }
      }
    }
  }
  dx[i] = sum;
}
