// conv_pack_channels.wgsl: a feature map with PACK channels side by side, so that lanes along channels read one place.
//
//   packed[n,g,block,s,m] = x[n,g,block * PACK + m,s]; 0 past the last channel of the group
//
// x, packed [N, G, C, S], [N, G, ceil(C / PACK), S, PACK] f32   S = D*H*W voxels
// grid      one thread per RUN packed elements of one channel, folded over x and y
// numerics  exact: values are only moved
// source    own work
// used by src/kernels/convRun.ts
const WG: u32 = 64;        // threads per workgroup
const PACK: u32 = 8;       // channels side by side
const RUN: u32 = 8;        // voxels per thread

struct Planes {
  channels: u32,           // C
  size: u32,               // S
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> packed: array<f32>;
var<immediate> p: Planes;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_index) local: u32) {
  let i = (id.y * groups.x + id.x) * WG + local;
  let blocks = (p.channels + PACK - 1) / PACK;
  let runs = (p.size + RUN - 1) / RUN;   // per plane
  let run = i / PACK % runs;
  let block = i / (PACK * runs) % blocks;
  let image = i / (PACK * runs * blocks);
  if (image * (blocks * PACK * p.size) >= arrayLength(&packed)) { return; }
  let c = block * PACK + i % PACK;
  let plane = (image * p.channels + min(c, p.channels - 1)) * p.size;
  let out = (image * blocks + block) * (p.size * PACK) + i % PACK;
  for (var s = run * RUN; s < min(run * RUN + RUN, p.size); s++) {
    packed[out + s * PACK] = select(0.0, x[plane + s], c < p.channels);
  }
}
