// squeeze_excitation_weights.wgsl: weight and bias gradients of a squeeze-and-excitation block, sums over the samples.
//
//   dw1[r,c] = sum over n of dhidden[n,r] * squeezed[n,c]      db1[r] = sum over n of dhidden[n,r]
//   dw2[c,r] = sum over n of dout[n,c] * hidden[n,r]           db2[c] = sum over n of dout[n,c]
//
// squeezed, dout    [N, C] f32
// hidden, dhidden   [N, R] f32
// grid              linear, one thread per element of dw1 and of dw2; added in order
// numerics          f32
// source            Hu et al. 2018, arXiv:1709.01507
// used by src/kernels/squeezeExcitation.ts
const WG: u32 = 64;        // threads per workgroup

struct Block { channels: u32, hidden: u32 }

@group(0) @binding(0) var<storage, read> squeezed: array<f32>;
@group(0) @binding(1) var<storage, read> hidden: array<f32>;
@group(0) @binding(2) var<storage, read> dout: array<f32>;
@group(0) @binding(3) var<storage, read> dhidden: array<f32>;
@group(0) @binding(4) var<storage, read_write> dw1: array<f32>;
@group(0) @binding(5) var<storage, read_write> db1: array<f32>;
@group(0) @binding(6) var<storage, read_write> dw2: array<f32>;
@group(0) @binding(7) var<storage, read_write> db2: array<f32>;
var<immediate> s: Block;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let i = id.x;
  if (i >= s.channels * s.hidden) { return; }
  let c1 = i % s.channels;            // this thread's element of dw1 is [r1, c1], of dw2 [c2, r2]
  let r1 = i / s.channels;
  let c2 = i / s.hidden;
  let r2 = i % s.hidden;
  var w1 = 0.0;
  var b1 = 0.0;
  var w2 = 0.0;
  var b2 = 0.0;
  for (var n = 0u; n < arrayLength(&dout) / s.channels; n++) {
    let h = dhidden[n * s.hidden + r1];
    let o = dout[n * s.channels + c2];
    w1 += h * squeezed[n * s.channels + c1];
    w2 += o * hidden[n * s.hidden + r2];
    b1 += h;
    b2 += o;
  }
  dw1[i] = w1;
  dw2[i] = w2;
  if (c1 == 0) { db1[r1] = b1; }
  if (r2 == 0) { db2[c2] = b2; }
}
