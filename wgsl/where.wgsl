// where.wgsl: one of two numbers for every element, with NumPy's broadcasting.
//
//   y[i] = cond[..] != 0 ? a[..] : b[..]
//
// y           f32, its merged dimensions are D; the outermost size D[0] is not needed: it follows from the grid
// cond, a, b  f32 of any broadcasting shape: strides C, A and B in elements, 0 where the operand repeats
// grid        linear, one thread per four elements of y, folded at 65,535 workgroups
// numerics    exact: values are only chosen
// source      NumPy's rule of broadcasting
// used by src/kernels/broadcast.ts
const WG: u32 = 64;           // threads per workgroup
const ROW: bool = true;       // four neighbours in y lie in one innermost row
const C_RUN: bool = true;     // with ROW: they are four neighbours in cond as well, else the same element of cond
const A_RUN: bool = true;
const B_RUN: bool = true;
const D = array<u32, 6>(1, 1, 1, 1, 1, 1);
const C = array<u32, 6>(1, 0, 0, 0, 0, 0);
const A = array<u32, 6>(1, 0, 0, 0, 0, 0);
const B = array<u32, 6>(1, 0, 0, 0, 0, 0);

@group(0) @binding(0) var<storage, read> cond: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

// Where element e of y is found in cond, a and b.
fn places(e: u32) -> vec3u {
  var rest = e;
  var p = (rest % D[5]) * vec3u(C[5], A[5], B[5]);
  rest /= D[5];
  p += (rest % D[4]) * vec3u(C[4], A[4], B[4]);
  rest /= D[4];
  p += (rest % D[3]) * vec3u(C[3], A[3], B[3]);
  rest /= D[3];
  p += (rest % D[2]) * vec3u(C[2], A[2], B[2]);
  rest /= D[2];
  p += (rest % D[1]) * vec3u(C[1], A[1], B[1]);
  rest /= D[1];
  return p + rest * vec3u(C[0], A[0], B[0]);
}

fn oneC(p: u32) -> f32 { return cond[p >> 2u][p & 3u]; }
fn oneA(p: u32) -> f32 { return a[p >> 2u][p & 3u]; }
fn oneB(p: u32) -> f32 { return b[p >> 2u][p & 3u]; }

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  let p = places(4u * i);
  var c: vec4f;
  var u: vec4f;
  var v: vec4f;
  if (ROW) {
    if (C_RUN) { c = cond[p.x >> 2u]; } else { c = vec4f(oneC(p.x)); }
    if (A_RUN) { u = a[p.y >> 2u]; } else { u = vec4f(oneA(p.y)); }
    if (B_RUN) { v = b[p.z >> 2u]; } else { v = vec4f(oneB(p.z)); }
  } else {
    let q = places(4u * i + 1u);
    let r = places(4u * i + 2u);
    let s = places(4u * i + 3u);
    c = vec4f(oneC(p.x), oneC(q.x), oneC(r.x), oneC(s.x));
    u = vec4f(oneA(p.y), oneA(q.y), oneA(r.y), oneA(s.y));
    v = vec4f(oneB(p.z), oneB(q.z), oneB(r.z), oneB(s.z));
  }
  y[i] = select(v, u, c != vec4f(0.0));
}
