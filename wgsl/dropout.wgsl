// dropout.wgsl: zeros at random, one decision for each PER neighbouring elements.
//
//   y[i] = 0 where the upper 24 bits of draw counter + i / PER are below the threshold, else factor * x[i]
//
// x, y      [n] f32   read as vec4; buffers are padded to 16 bytes
// state     [seed, stream, counter low, counter high, threshold, bits of the factor 1 / (1 - p)] u32
// grid      linear, one thread per four elements, folded at 65,535 workgroups
// numerics  which elements are zero is decided in integers; one multiplication for the others
// source    Srivastava et al. 2014, JMLR 15; random numbers as in random.wgsl
// used by src/kernels/dropout.ts, for the gradient as well
const WG: u32 = 64;    // threads per workgroup
const PER: u32 = 1;    // 1, or the voxels of a channel

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> state: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

// The first words of four draws, `ahead` of the counter.
fn draws(ahead: vec4u) -> vec4u {
  let low = ahead + state[2];
  let high = vec4u(state[3]) + select(vec4u(0u), vec4u(1u), low < ahead);   // the carry
  var x = vec4u(state[0] * 1664525u + 1013904223u);
  var y = vec4u(state[1] * 1664525u + 1013904223u);
  var z = low * 1664525u + 1013904223u;
  var w = high * 1664525u + 1013904223u;
  x += y * w;
  y += z * x;
  z += x * y;
  w += y * z;
  x ^= x >> vec4u(16u);
  y ^= y >> vec4u(16u);
  w ^= w >> vec4u(16u);
  return x + y * w;
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  let e = vec4u(4u * i) + vec4u(0u, 1u, 2u, 3u);
  let dropped = (draws(e / PER) >> vec4u(8u)) < vec4u(state[4]);
  y[i] = select(x[i] * bitcast<f32>(state[5]), vec4f(0.0), dropped);
}
