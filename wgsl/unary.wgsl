// unary.wgsl: one function of one number, for every element.
//
//   y[i] = f(x[i])          f is chosen by OP; the order of the cases is that of ROWS in unary.ts
//
// x, y      [n] f32, read as vec4; buffers are padded to 16 bytes
// grid      linear, one thread per four elements, folded at 65,535 workgroups
// numerics  log, sin, cos, expm1, log1p and erfc have series of their own: a few units in the last place everywhere
// source    gelu: arXiv:1606.08415; silu: 1702.03118; elu: 1511.07289; hardswish: 1905.02244; mish: 1908.08681
// used by src/kernels/unary.ts
const WG: u32 = 64;    // threads per workgroup
const OP: u32 = 0;
const P: f32 = 0.0;    // clamp: min; leakyRelu: slope; elu: alpha
const Q: f32 = 0.0;    // clamp: max

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<f32>>;

// exp(v) - 1 for v <= 0. Taylor's series where exp(v) is near 1: its error at -0.5 is 1e-9 of the result.
fn expm1(v: vec4f) -> vec4f {
  let tail = 1.0 + v / 5.0 * (1.0 + v / 6.0 * (1.0 + v / 7.0 * (1.0 + v / 8.0)));
  let series = v * (1.0 + v / 2.0 * (1.0 + v / 3.0 * (1.0 + v / 4.0 * tail)));
  return select(exp(v) - 1.0, series, v > vec4f(-0.5));
}

// log(1 + z) for 0 <= z <= 1, as 2 atanh(z / (2 + z)): s <= 1/3, so that eight terms reach 1e-9.
fn log1p(z: vec4f) -> vec4f {
  let s = z / (2.0 + z);
  let q = s * s;
  let tail = 1.0 / 9.0 + q * (1.0 / 11.0 + q * (1.0 / 13.0 + q / 15.0));
  return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * tail))));
}

// v = m * 2^e with m near 1; log(m) = 2 atanh((m - 1) / (m + 1)). The built-in may be 2^-21 off near 1, where the
// result is small.
fn logarithm(v: vec4f) -> vec4f {
  let bits = bitcast<vec4i>(v);
  let e = (bits - vec4i(0x3f3504f3)) >> vec4u(23u);   // 0x3f3504f3 is sqrt(1/2)
  let m = bitcast<vec4f>(bits - (e << vec4u(23u)));
  let s = (m - 1.0) / (m + 1.0);
  let q = s * s;
  let near = 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q / 9.0))));
  let normal = (v >= vec4f(1.1754944e-38)) & (v <= vec4f(0x1.fffffep+127f));
  return select(log(v), vec4f(e) * 0.6931471805599453 + near, normal);
}

// sin(v + quarter * pi/2): v less a whole number of quarter turns (pi/2 in three parts), then Taylor's series to 1e-9.
// The built-in functions are 2^-11 off on some adapters.
fn wave(v: vec4f, quarter: i32) -> vec4f {
  let n = round(v * 0.6366197723675814);
  let r = ((v - n * 1.5703125) - n * 0.0004837512969970703) - n * 7.549789948768648e-8;
  let s = r * r;
  let sine = r * (1.0 - s / 6.0 * (1.0 - s / 20.0 * (1.0 - s / 42.0 * (1.0 - s / 72.0))));
  let cosine = 1.0 - s / 2.0 * (1.0 - s / 12.0 * (1.0 - s / 30.0 * (1.0 - s / 56.0 * (1.0 - s / 90.0))));
  let q = vec4i(n) + quarter;
  let size = select(cosine, sine, (q & vec4i(1)) == vec4i(0));
  return select(-size, size, (q & vec4i(2)) == vec4i(0));
}

// 1 - erf(t) for t >= 0: exp(-t^2) / (1 + 2t) times a polynomial in (t-2)/(t+2), fitted at Chebyshev points; 2 units
// in the last place without exp's own error.
fn erfc(t: vec4f) -> vec4f {
  let q = (t - 2.0) / (t + 2.0);
  var r = vec4f(0.0001596403744770214);
  r = r * q - 0.00018213393923360854;
  r = r * q - 0.0013930554268881679;
  r = r * q + 0.001039730734191835;
  r = r * q + 0.00868713203817606;
  r = r * q - 0.007940169423818588;
  r = r * q - 0.05421137809753418;
  r = r * q + 0.1640351414680481;
  r = r * q - 0.1660311371088028;
  r = r * q - 0.0927630290389061;
  r = r * q + 1.2769783735275269;
  return exp(-t * t) * r / (1.0 + 2.0 * t);
}

// Below 1 a polynomial in v^2 fitted at Chebyshev points (1e-9), which keeps the digits of small results.
fn erf(v: vec4f) -> vec4f {
  let s = min(v * v, vec4f(1.0));
  var r = vec4f(0.00007847259257687256);
  r = r * s - 0.0008008189033716917;
  r = r * s + 0.005188099108636379;
  r = r * s - 0.026853691786527634;
  r = r * s + 0.1128358244895935;
  r = r * s - 0.3761262595653534;
  r = r * s + 1.1283791065216064;
  return select(sign(v) * (1.0 - erfc(min(abs(v), vec4f(10.0)))), v * r, abs(v) < vec4f(1.0));
}

fn sigmoid(v: vec4f) -> vec4f {
  let e = exp(-abs(v));
  return select(e, vec4f(1.0), v >= vec4f(0.0)) / (1.0 + e);
}

fn tanhOf(v: vec4f) -> vec4f {
  let e = expm1(-2.0 * abs(v));
  return -sign(v) * e / (2.0 + e);
}

fn softplus(v: vec4f) -> vec4f {
  return max(v, vec4f(0.0)) + log1p(exp(-abs(v)));
}

// v * Phi(v) = v/2 * erfc(-v / sqrt 2)
fn gelu(v: vec4f) -> vec4f {
  let tail = 0.5 * v * erfc(min(abs(v) * 0.7071067811865476, vec4f(10.0)));
  return select(tail, v - tail, v > vec4f(0.0));
}

// v/2 * (1 + tanh(u)) = v * sigmoid(2u); limited where the result is v or 0 anyway, so that the cube stays finite.
fn geluTanh(v: vec4f) -> vec4f {
  let c = clamp(v, vec4f(-20.0), vec4f(20.0));
  return v * sigmoid(1.5957691216057308 * (c + 0.044715 * c * c * c));
}

// tanh(log(1 + exp(v))) is a ratio of polynomials in exp(v), or in exp(-v) where v > 0.
fn mish(v: vec4f) -> vec4f {
  let e = exp(-abs(v));
  let positive = (1.0 + 2.0 * e) / (1.0 + 2.0 * e + 2.0 * e * e);
  let negative = (e * e + 2.0 * e) / (e * e + 2.0 * e + 2.0);
  return v * select(negative, positive, v > vec4f(0.0));
}

fn f(v: vec4f) -> vec4f {
  switch OP {
    case 0: { return -v; }
    case 1: { return exp(v); }
    case 2: { return logarithm(v); }
    case 3: { return sqrt(v); }
    case 4: { return 1.0 / sqrt(v); }
    case 5: { return abs(v); }
    case 6: { return sign(v); }
    case 7: { return v * v; }
    case 8: { return 1.0 / v; }
    case 9: { return wave(v, 0); }
    case 10: { return wave(v, 1); }
    case 11: { return erf(v); }
    case 12: { return floor(v); }
    case 13: { return round(v); }
    case 14: { return min(max(v, vec4f(P)), vec4f(Q)); }
    case 15: { return select(v, vec4f(0.0), v <= vec4f(0.0)); }   // not max(v, 0), which may turn NaN into 0
    case 16: { return select(v, P * v, v <= vec4f(0.0)); }
    case 17: { return select(v, P * expm1(min(v, vec4f(0.0))), v <= vec4f(0.0)); }
    case 18: { return gelu(v); }
    case 19: { return geluTanh(v); }
    case 20: { return v * sigmoid(v); }
    case 21: { return sigmoid(v); }
    case 22: { return tanhOf(v); }
    case 23: { return softplus(v); }
    case 24: { return v * clamp(v + 3.0, vec4f(0.0), vec4f(6.0)) / 6.0; }
    case 25: { return mish(v); }
    default: { return -softplus(-v); }   // 26, logSigmoid
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  y[i] = f(x[i]);
}
