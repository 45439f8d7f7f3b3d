// conv_pack_weights.wgsl: convolution weights in the order in which the convolution kernels read them.
//
//   packed[g,block,k,ci,m] = w of output channel block * PACK + m, input channel ci and tap k; 0 past the last channel
//
// w         [G, A, B, K] f32: A output and B input channels per group; the other way round when SWAP = 1
// packed    [G, ceil(OUT / PACK), K, IN, PACK] f32
// FLIP      1 reverses the taps: with SWAP, the weights of the input gradient and of transposed convolution
// grid      one thread per packed element, folded over x and y
// numerics  exact: values are only moved
// source    own work
// used by src/kernels/convRun.ts
const WG: u32 = 64;        // threads per workgroup
const PACK: u32 = 8;       // output channels side by side
const G: u32 = 1;
const A: u32 = 8;
const B: u32 = 3;
const K: u32 = 9;          // taps, KD * KH * KW
const SWAP: u32 = 0;
const FLIP: u32 = 0;

const OUT: u32 = select(A, B, SWAP == 1);
const IN: u32 = select(B, A, SWAP == 1);
const BLOCKS: u32 = (OUT + PACK - 1) / PACK;

@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let i = (id.y * groups.x + id.x) * WG + local;
  if (i >= arrayLength(&packed)) { return; }
  let ci = i / PACK % IN;
  let k = i / (PACK * IN) % K;
  let co = i / (PACK * IN * K) % BLOCKS * PACK + i % PACK;
  let g = i / (PACK * IN * K * BLOCKS);
  let tap = select(k, K - 1 - k, FLIP == 1);
  let a = select(co, ci, SWAP == 1);
  let b = select(ci, co, SWAP == 1);
  packed[i] = select(0.0, w[((g * A + min(a, A - 1)) * B + min(b, B - 1)) * K + tap], co < OUT);
}
