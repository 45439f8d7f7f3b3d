// squeeze_excitation.wgsl: the gate of a squeeze-and-excitation block, from sums of planes to one factor per channel.
//
//   squeezed[n,c] = sum over t of partial[n,c,t] / SIZE
//   hidden[n,r] = relu(sum over c of w1[r,c] * squeezed[n,c] + b1[r])
//   gate[n,c] = sigmoid(sum over r of w2[c,r] * hidden[n,r] + b2[c])
//
// partial   [N, C, T] from plane_sum.wgsl; w1 [R, C]; w2 [C, R]
// b1, b2    [R], [C]; bound to anything where HAS_B1, HAS_B2 are false
// grid      one workgroup per sample; HC threads share a sum over R or T, HR threads one over C; fixed order
// numerics  f32; the exponent of the sigmoid is kept within +-80
// source    Hu et al. 2018, arXiv:1709.01507
// used by src/kernels/squeezeExcitation.ts
const C: u32 = 8;          // channels
const R: u32 = 2;          // hidden units
const T: u32 = 4;          // slices per plane
const SIZE: f32 = 64.0;    // values per plane
const HAS_B1: bool = true;
const HAS_B2: bool = true;
const HC: u32 = 8;         // threads that share one of C results
const HR: u32 = 8;         // threads that share one of R results
const WG: u32 = 128;       // threads per workgroup
const_assert WG % HC == 0 && WG % HR == 0;

@group(0) @binding(0) var<storage, read> partial: array<f32>;
@group(0) @binding(1) var<storage, read> w1: array<f32>;
@group(0) @binding(2) var<storage, read> b1: array<f32>;
@group(0) @binding(3) var<storage, read> w2: array<f32>;
@group(0) @binding(4) var<storage, read> b2: array<f32>;
@group(0) @binding(5) var<storage, read_write> squeezed: array<f32>;
@group(0) @binding(6) var<storage, read_write> hidden: array<f32>;
@group(0) @binding(7) var<storage, read_write> gate: array<f32>;

var<workgroup> sh_part: array<f32, WG>;
var<workgroup> sh_squeezed: array<f32, C>;
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
    let total = share(t, sum, HC) / SIZE;
    if (t % HC == 0 && c < C) {
      sh_squeezed[c] = total;
      squeezed[n * C + c] = total;
    }
  }
  workgroupBarrier();
  for (var r0 = 0u; r0 < R; r0 += WG / HR) {
    let r = r0 + t / HR;
    var sum = 0.0;
    if (r < R) {
      for (var c = t % HR; c < C; c += HR) { sum += w1[r * C + c] * sh_squeezed[c]; }
    }
    var total = share(t, sum, HR);
    if (t % HR == 0 && r < R) {
      if (HAS_B1) { total += b1[r]; }
      sh_hidden[r] = max(total, 0.0);
      hidden[n * R + r] = max(total, 0.0);
    }
  }
  workgroupBarrier();
  for (var c0 = 0u; c0 < C; c0 += WG / HC) {
    let c = c0 + t / HC;
    var sum = 0.0;
    if (c < C) {
      for (var r = t % HC; r < R; r += HC) { sum += w2[c * R + r] * sh_hidden[r]; }
    }
    var total = share(t, sum, HC);
    if (t % HC == 0 && c < C) {
      if (HAS_B2) { total += b2[c]; }
      gate[n * C + c] = 1.0 / (1.0 + exp(-clamp(total, -80.0, 80.0)));   // exp stays finite
    }
  }
}
