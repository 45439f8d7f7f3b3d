// binary.wgsl: one function of two numbers, for every element, with NumPy's broadcasting.
//
//   y[i] = f(a[..], b[..])        f is chosen by OP; the order of the cases is that of OPS in broadcast.ts
//
// y         f32, its merged dimensions are D; the outermost size D[0] is not needed: it follows from the grid
// a, b      f32 of any broadcasting shape: strides A and B in elements, 0 where the operand repeats
// grid      linear, one thread per four elements of y, folded at 65,535 workgroups
// numerics  pow multiplies for whole exponents up to 127, else it is exp2(b * log2(a)), with a relative error of about
//           2^-22 * (1 + |b log2 a|)
// source    NumPy's rule of broadcasting
// used by src/kernels/broadcast.ts
const WG: u32 = 64;           // threads per workgroup
const OP: u32 = 0;
const ROW: bool = true;       // four neighbours in y lie in one innermost row
const A_RUN: bool = true;     // with ROW: they are four neighbours in a as well, else the same element of a
const B_RUN: bool = true;
const D = array<u32, 6>(1, 1, 1, 1, 1, 1);
const A = array<u32, 6>(1, 0, 0, 0, 0, 0);
const B = array<u32, 6>(1, 0, 0, 0, 0, 0);

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

// u^|v| for whole v by repeated squaring
fn powWhole(u: vec4f, v: vec4f) -> vec4f {
  var n = vec4u(abs(v));
  var square = u;
  var r = vec4f(1.0);
  for (var bit = 0u; bit < 7u; bit++) {
    r = select(r, r * square, (n & vec4u(1u)) != vec4u(0u));
    square *= square;
    n >>= vec4u(1u);
  }
  return select(r, 1.0 / r, v < vec4f(0.0));
}

fn power(u: vec4f, v: vec4f) -> vec4f {
  let whole = floor(v) == v;
  let odd = abs(v * 0.5 - floor(v * 0.5)) > vec4f(0.25);
  let size = select(exp2(v * log2(max(abs(u), vec4f(1e-37)))), vec4f(0.0), (u == vec4f(0.0)) & (v > vec4f(0.0)));
  var bits = vec4u(0x7fc00000u);   // a variable, as a constant NaN does not compile
  let signed = select(select(size, -size, odd), bitcast<vec4f>(bits), !whole);
  let general = select(size, signed, u < vec4f(0.0));
  return select(general, powWhole(u, clamp(v, vec4f(-127.0), vec4f(127.0))), whole & (abs(v) <= vec4f(127.0)));
}

fn mask(v: vec4<bool>) -> vec4f {
  return select(vec4f(0.0), vec4f(1.0), v);
}

fn f(u: vec4f, v: vec4f) -> vec4f {
  switch OP {
    case 0: { return u + v; }
    case 1: { return u - v; }
    case 2: { return u * v; }
    case 3: { return u / v; }
    case 4: { return power(u, v); }
    case 5: { return min(u, v); }
    case 6: { return max(u, v); }
    case 7: { return mask(u == v); }
    case 8: { return mask(u != v); }
    case 9: { return mask(u < v); }
    case 10: { return mask(u <= v); }
    case 11: { return mask(u > v); }
    case 12: { return mask(u >= v); }
    default: { return select(u * v, u, u > vec4f(0.0)); }   // 13, prelu
  }
}

// Where element e of y is found in a and b.
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
  if (i >= arrayLength(&y)) { return; }
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
  y[i] = f(u, v);
}
