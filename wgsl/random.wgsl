// random.wgsl: random numbers from a counter; draw c of a sequence is the first word of pcg4d(seed, stream, low, high).
//
//   OP 0  y[i] = the 32 bits (T = u32)               draw counter + i
//   OP 1  y[i] = uniform in [0, 1), 24 bits          draw counter + i
//   OP 2  y[i] = sqrt(-2 log(u)) * cos(2 pi v)       u in (0, 1] and v in [0, 1): draws counter + 2i and + 2i + 1
//   OP 3  y[i] = 1 where the upper 24 bits are below the threshold, else 0
//
// state     [seed, stream, counter low, counter high, threshold, unused] u32
// y         [n] T   read as vec4; buffers are padded to 16 bytes
// grid      linear, one thread per four elements, folded at 65,535 workgroups
// numerics  bits and uniform numbers are those of the host; normal ones differ in the last places (log and cosine by
//           series)
// source    Jarzynski and Olano 2020, "Hash Functions for GPU Rendering", JCGT 9(3); the same as src/random.ts
// used by src/kernels/random.ts
alias T = f32;
const WG: u32 = 64;    // threads per workgroup
const OP: u32 = 1;

@group(0) @binding(0) var<storage, read> state: array<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<T>>;

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

// log(u) for u in (0, 1], as in unary.wgsl
fn logarithm(u: vec4f) -> vec4f {
  let bits = bitcast<vec4i>(u);
  let e = (bits - vec4i(0x3f3504f3)) >> vec4u(23u);
  let m = bitcast<vec4f>(bits - (e << vec4u(23u)));
  let s = (m - 1.0) / (m + 1.0);
  let q = s * s;
  let series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q / 9.0)));
  return vec4f(e) * 0.6931471805599453 + 2.0 * s * series;
}

// cos(2 pi v) for v in [0, 1]: the part beyond whole quarter turns is exact, then Taylor's series as in unary.wgsl
fn cosTurns(v: vec4f) -> vec4f {
  let n = round(4.0 * v);
  let r = (4.0 * v - n) * 1.5707963267948966;
  let s = r * r;
  let sine = r * (1.0 - s / 6.0 * (1.0 - s / 20.0 * (1.0 - s / 42.0 * (1.0 - s / 72.0))));
  let cosine = 1.0 - s / 2.0 * (1.0 - s / 12.0 * (1.0 - s / 30.0 * (1.0 - s / 56.0 * (1.0 - s / 90.0))));
  let q = vec4i(n) + 1;
  let size = select(cosine, sine, (q & vec4i(1)) == vec4i(0));
  return select(-size, size, (q & vec4i(2)) == vec4i(0));
}

fn upper(bits: vec4u) -> vec4f {
  return vec4f(bits >> vec4u(8u));   // 24 bits are exact in f32
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  let e = vec4u(4u * i) + vec4u(0u, 1u, 2u, 3u);
  switch OP {
    case 0: { y[i] = vec4<T>(draws(e)); }
    case 1: { y[i] = vec4<T>(upper(draws(e)) * 0x1p-24); }
    case 2: {
      let u = (upper(draws(2u * e)) + 1.0) * 0x1p-24;
      let v = upper(draws(2u * e + 1u)) * 0x1p-24;
      y[i] = vec4<T>(sqrt(max(-2.0 * logarithm(u), vec4f(0.0))) * cosTurns(v));
    }
    default: { y[i] = select(vec4<T>(0), vec4<T>(1), (draws(e) >> vec4u(8u)) < vec4u(state[4])); }
  }
}
