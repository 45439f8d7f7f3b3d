// binary_backward.wgsl: gradients of binary operations that are not binary operations themselves.
//
//   g[i] = slope(a[..], b[..]) * dy[i]      chosen by OP; the order of the cases is that of SLOPES in broadcast.ts
//
// dy, g     f32 of the broadcast shape, merged dimensions D; g is summed over the repeats of its operand afterwards
// a, b      f32 of any broadcasting shape: strides A and B in elements, 0 where the operand repeats
// grid      linear, one thread per four elements of g, folded at 65,535 workgroups
// numerics  where a = b, minimum and maximum give half of dy to each, as in PyTorch
// source    PyTorch's slopes
// used by src/kernels/broadcast.ts
const WG: u32 = 64;           // threads per workgroup
const OP: u32 = 0;
const ROW: bool = true;       // four neighbours in g lie in one innermost row
const A_RUN: bool = true;     // with ROW: they are four neighbours in a as well, else the same element of a
const B_RUN: bool = true;
const D = array<u32, 6>(1, 1, 1, 1, 1, 1);
const A = array<u32, 6>(1, 0, 0, 0, 0, 0);
const B = array<u32, 6>(1, 0, 0, 0, 0, 0);

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> g: array<vec4<f32>>;

const ZERO = vec4f(0.0);
const ONE = vec4f(1.0);

fn slope(u: vec4f, v: vec4f) -> vec4f {
  switch OP {
    case 0: { return -(u / v) / v; }                                       // of a / b, by b
    case 1: { return select(select(ZERO, ONE, u < v), vec4f(0.5), u == v); }   // of minimum(a, b), by a
    case 2: { return select(select(ZERO, ONE, u > v), vec4f(0.5), u == v); }   // of maximum(a, b), by a
    case 3: { return select(v, ONE, u > ZERO); }                           // of prelu(a, b), by a
    default: { return select(u, ZERO, u > ZERO); }                         // 4, of prelu(a, b), by b
  }
}

// Where element e of g is found in a and b.
fn places(e: u32) -> vec2u {
  var rest = e;
  var p = (rest % D[5]) * vec2u(A[5], B[5]);
  rest /= D[5];
  p += (rest % D[4]) * vec2u(A[4], B[4]);
  rest /= D[4];
  p += (rest % D[3]) * vec2u(A[3], B[3]);
  rest /= D[3];
  p += (rest % D[2]) * vec2u(A[2], B[2]);
  rest /= D[2];
  p += (rest % D[1]) * vec2u(A[1], B[1]);
  rest /= D[1];
  return p + rest * vec2u(A[0], B[0]);
}

fn oneA(p: u32) -> f32 { return a[p >> 2u][p & 3u]; }
fn oneB(p: u32) -> f32 { return b[p >> 2u][p & 3u]; }

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&g)) { return; }
  let p = places(4u * i);
  var u: vec4f;
  var v: vec4f;
  if (ROW) {
    if (A_RUN) { u = a[p.x >> 2u]; } else { u = vec4f(oneA(p.x)); }
    if (B_RUN) { v = b[p.y >> 2u]; } else { v = vec4f(oneB(p.y)); }
  } else {
    let q = places(4u * i + 1u);
    let r = places(4u * i + 2u);
    let s = places(4u * i + 3u);
    u = vec4f(oneA(p.x), oneA(q.x), oneA(r.x), oneA(s.x));
    v = vec4f(oneB(p.y), oneB(q.y), oneB(r.y), oneB(s.y));
  }
  g[i] = slope(u, v) * dy[i];
}
