// conv_pack_channels.wgsl: a feature map with PACK channels side by side, so that lanes along channels read one place.
//
//   packed[n,g,block,s,m] = x[n,g,block * PACK + m,s]; 0 past the last channel of the group
//
// x, packed [N, G, C, S], [N, G, ceil(C / PACK), S, PACK] f32   S = D*H*W voxels
// grid      one thread per packed element, folded over x and y
// used by src/kernels/convRun.ts
const WG: u32 = 64;        // threads per workgroup
const PACK: u32 = 8;       // channels side by side
const C: u32 = 3;          // channels per group
const S: u32 = 64;

const BLOCKS: u32 = (C + PACK - 1) / PACK;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let i = (id.y * groups.x + id.x) * WG + local;
  if (i >= arrayLength(&packed)) { return; }
  let s = i / PACK % S;
  let c = i / (PACK * S) % BLOCKS * PACK + i % PACK;
  let image = i / (PACK * S * BLOCKS);
  packed[i] = select(0.0, x[(image * C + min(c, C - 1)) * S + s], c < C);
}
