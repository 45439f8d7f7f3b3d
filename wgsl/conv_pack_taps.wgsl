// conv_pack_taps.wgsl: convolution weights in the order in which conv_forward_patch.wgsl reads them.
//
//   packed[g,tile,kd,ci,m,t * TAPS + k] = w of output channel (tile * TC + t) * PACK + m, input channel ci, depth kd of the
//   kernel and tap k of that depth; 0 past the last channel
//
// w         [G, A, B, KD * TAPS] f32: A output and B input channels per group; the other way round when SWAP = 1
// packed    [G, tiles, KD, IN, PACK, 4 * ceil(TC * TAPS / 4)] f32; what fills up the last vector is not written
// FLIP      1 reverses the taps: with SWAP, the weights of the input gradient and of transposed convolution
// grid      one thread per (g, tile, ci, m), which moves all taps, folded over x and y
// numerics  exact: values are only moved
// source    own work
// used by src/kernels/convPatch.ts
const WG: u32 = 64;        // threads per workgroup
const PACK: u32 = 8;       // output channels side by side
const TC: u32 = 1;         // vectors of output channels of a tile
const SWAP: u32 = 0;
const FLIP: u32 = 0;

struct Weights {
  groups: u32, a: u32, b: u32,
  kd: u32, taps: u32,    // taps of one depth
}

@group(0) @binding(0) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<f32>;
var<immediate> s: Weights;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let outputs = select(s.a, s.b, SWAP == 1);
  let inputs = select(s.b, s.a, SWAP == 1);
  let tiles = (outputs + PACK * TC - 1) / (PACK * TC);
  let i = (id.y * groups.x + id.x) * WG + local;
  if (i >= s.groups * tiles * inputs * PACK) { return; }
  let m = i % PACK;
  let ci = i / PACK % inputs;
  let tile = i / (PACK * inputs);   // of all groups
  let g = tile / tiles;
  let width = (TC * s.taps + 3) / 4 * 4;
  for (var t = 0u; t < TC; t++) {
    let co = (tile % tiles * TC + t) * PACK + m;
    let a = min(select(co, ci, SWAP == 1), s.a - 1);
    let b = min(select(ci, co, SWAP == 1), s.b - 1);
    var next = ((g * s.a + a) * s.b + b) * s.kd * s.taps + select(0, s.kd * s.taps - 1, FLIP == 1);
    var at = (tile * s.kd * inputs + ci) * PACK + m;
    for (var d = 0u; d < s.kd; d++) {
      for (var k = 0u; k < s.taps; k++) {
        packed[at * width + t * s.taps + k] = select(0.0, w[next], co < outputs);
        next = select(next + 1, next - 1, FLIP == 1);
      }
      at += inputs * PACK;
    }
  }
}
