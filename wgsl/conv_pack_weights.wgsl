// conv_pack_weights.wgsl: convolution weights in the order in which the convolution kernels read them.
//
//   packed[g,block,k,ci,m] = w of output channel block * PACK + m, input channel ci and tap k; 0 past the last channel
//
// w         [G, A, B, K] f32: A output and B input channels per group; the other way round when SWAP = 1
// packed    [G, ceil(OUT / PACK), K, IN, PACK] f32
// FLIP      1 reverses the taps: with SWAP, the weights of the input gradient and of transposed convolution
// grid      one thread per (g, block, ci, m), which moves all taps, folded over x and y
// numerics  exact: values are only moved
// source    own work
// used by src/kernels/convRun.ts
const WG: u32 = 64;        // threads per workgroup
const PACK: u32 = 8;       // output channels side by side
const SWAP: u32 = 0;
const FLIP: u32 = 0;

struct Weights {
  a: u32, b: u32,
  k: u32,            // taps, KD * KH * KW
}

@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<f32>;
var<immediate> s: Weights;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let i = (id.y * groups.x + id.x) * WG + local;
  if (i >= arrayLength(&packed) / s.k) { return; }
  let outputs = select(s.a, s.b, SWAP == 1);
  let inputs = select(s.b, s.a, SWAP == 1);
  let blocks = (outputs + PACK - 1) / PACK;
  let m = i % PACK;
  let ci = i / PACK % inputs;
  let block = i / (PACK * inputs);   // of all groups
  let co = block % blocks * PACK + m;
  let g = block / blocks;
  let a = min(select(co, ci, SWAP == 1), s.a - 1);
  let b = min(select(ci, co, SWAP == 1), s.b - 1);
  let first = ((g * s.a + a) * s.b + b) * s.k;
  for (var k = 0u; k < s.k; k++) {
    let tap = select(k, s.k - 1 - k, FLIP == 1);
    packed[((block * s.k + k) * inputs + ci) * PACK + m] = select(0.0, w[first + tap], co < outputs);
  }
}
