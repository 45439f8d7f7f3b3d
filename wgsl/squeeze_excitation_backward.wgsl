// squeeze_excitation_backward.wgsl: gradients inside a squeeze-and-excitation block, one sample at a time.
//
//   dout[n,c] = gate * (1 - gate) * sum over t of partial[n,c,t]        gradient before the sigmoid
//   dhidden[n,r] = sum over c of w2[c,r] * dout[n,c] where hidden > 0   gradient before the relu
//   shift[n,c] = sum over r of w1[r,c] * dhidden[n,r] / SIZE            what every value gets through the mean
//
// partial   [N, C, T]: sums of dy * x over slices of planes; w1 [R, C]; w2 [C, R]
// grid      one workgroup per sample; HC threads share a sum over R or T, HR threads one over C; fixed order
// numerics  f32
// source    Hu et al. 2018, arXiv:1709.01507
// used by src/kernels/squeezeExcitation.ts
const C: u32 = 8;          // channels
const R: u32 = 2;          // hidden units
const T: u32 = 4;          // slices per plane
const SIZE: f32 = 64.0;    // values per plane
const HC: u32 = 8;         // threads that share one of C results
const HR: u32 = 8;         // threads that share one of R results
const WG: u32 = 128;       // threads per workgroup
const_assert WG % HC == 0 && WG % HR == 0;

@group(0) @binding(0) var<storage, read> partial: array<f32>;
@group(0) @binding(1) var<storage, read> w1: array<f32>;
@group(0) @binding(2) var<storage, read> w2: array<f32>;
@group(0) @binding(3) var<storage, read> hidden: array<f32>;
@group(0) @binding(4) var<storage, read> gate: array<f32>;
@group(0) @binding(5) var<storage, read_write> dout: array<f32>;
@group(0) @binding(6) var<storage, read_write> dhidden: array<f32>;
@group(0) @binding(7) var<storage, read_write> shift: array<f32>;

var<workgroup> sh_part: array<f32, WG>;
var<workgroup> sh_out: array<f32, C>;
var<workgroup> sh_hidden: array<f32, R>;

// The sum of what `helpers` neighbouring threads hold, in the first of them.
fn share(t: u32, value: f32, helpers: u32) -> f32 {
  workgroupBarrier();
  sh_part[t] = value;
  workgroupBarrier();
  var sum = 0.0;
  if (t % helpers == 0) {
    for (var j = 0u; j < helpers; j++) { sum += sh_part[t + j]; }
  }
  return sum;
}

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let n = group.x;
  let t = local.x;
  for (var c0 = 0u; c0 < C; c0 += WG / HC) {
    let c = c0 + t / HC;
    var sum = 0.0;
    if (c < C) {
      for (var k = t % HC; k < T; k += HC) { sum += partial[(n * C + c) * T + k]; }
    }
    let total = share(t, sum, HC);
    if (t % HC == 0 && c < C) {
      let s = gate[n * C + c];
      sh_out[c] = total * s * (1.0 - s);
      dout[n * C + c] = sh_out[c];
    }
  }
  workgroupBarrier();
  for (var r0 = 0u; r0 < R; r0 += WG / HR) {
    let r = r0 + t / HR;
    var sum = 0.0;
    if (r < R) {
      for (var c = t % HR; c < C; c += HR) { sum += w2[c * R + r] * sh_out[c]; }
    }
    let total = share(t, sum, HR);
    if (t % HR == 0 && r < R) {
      sh_hidden[r] = select(0.0, total, hidden[n * R + r] > 0.0);
      dhidden[n * R + r] = sh_hidden[r];
    }
  }
  workgroupBarrier();
  for (var c0 = 0u; c0 < C; c0 += WG / HC) {
    let c = c0 + t / HC;
    var sum = 0.0;
    if (c < C) {
      for (var r = t % HC; r < R; r += HC) { sum += w1[r * C + c] * sh_hidden[r]; }
    }
    let total = share(t, sum, HC);
    if (t % HC == 0 && c < C) { shift[n * C + c] = total / SIZE; }
  }
}
