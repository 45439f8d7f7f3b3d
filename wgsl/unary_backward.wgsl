// unary_backward.wgsl: the gradient of unary.wgsl.
//
//   dx[i] = f'(x[i]) * dy[i]       f' is chosen by OP, the same number as in unary.wgsl
//
// kept      [n] f32   the input x, or the output y where the slope is simpler to tell from it (`keeps` in unary.ts)
// dy, dx    [n] f32   read as vec4; buffers are padded to 16 bytes
// grid      linear, one thread per four elements, folded at 65,535 workgroups
// numerics  at a kink the slope of PyTorch: 0 at relu(0) and abs(0), P at leakyRelu(0), 1 at both limits of clamp
// source    PyTorch's slopes
// used by src/kernels/unary.ts
const WG: u32 = 64;    // threads per workgroup
const OP: u32 = 0;
const P: f32 = 0.0;    // clamp: min; leakyRelu: slope; elu: alpha
const Q: f32 = 0.0;    // clamp: max

@group(0) @binding(0) var<storage, read> kept: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dx: array<vec4<f32>>;

const ZERO = vec4f(0.0);

fn sigmoid(v: vec4f) -> vec4f {
  let e = exp(-abs(v));
  return select(e, vec4f(1.0), v >= ZERO) / (1.0 + e);
}

// As in unary.wgsl.
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

// As in unary.wgsl.
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

// Phi(v) + v * phi(v), with the normal distribution and its density
fn geluSlope(v: vec4f) -> vec4f {
  let c = clamp(v, vec4f(-14.0), vec4f(14.0));
  let tail = 0.5 * erfc(abs(c) * 0.7071067811865476);
  return select(tail, 1.0 - tail, c > ZERO) + c * 0.3989422804014327 * exp(-0.5 * c * c);
}

fn geluTanhSlope(v: vec4f) -> vec4f {
  let c = clamp(v, vec4f(-20.0), vec4f(20.0));
  let u = 1.5957691216057308 * (c + 0.044715 * c * c * c);
  let s = sigmoid(u);
  return s + c * s * sigmoid(-u) * 1.5957691216057308 * (1.0 + 0.134145 * c * c);
}

// t + v * (1 - t^2) * sigmoid(v) with t = tanh(softplus(v)); u = 1 - t is computed by itself, as t is near 1.
fn mishSlope(v: vec4f) -> vec4f {
  let e = exp(-abs(v));
  let positive = v > ZERO;
  let below = select(e * e + 2.0 * e + 2.0, 1.0 + 2.0 * e + 2.0 * e * e, positive);
  let t = select(e * e + 2.0 * e, 1.0 + 2.0 * e, positive) / below;
  let u = select(vec4f(2.0), 2.0 * e * e, positive) / below;
  return t + v * u * (1.0 + t) * sigmoid(v);
}

fn slope(v: vec4f) -> vec4f {
  switch OP {
    case 0: { return vec4f(-1.0); }
    case 1: { return v; }                                  // v is y
    case 2: { return 1.0 / v; }
    case 3: { return 0.5 / v; }                            // y
    case 4: { return -0.5 * v * v * v; }                   // y
    case 5: { return sign(v); }
    case 7: { return 2.0 * v; }
    case 8: { return -v * v; }                             // y
    case 9: { return wave(v, 1); }
    case 10: { return wave(v, 2); }
    case 11: { return 1.1283791670955126 * exp(-v * v); }
    case 14: { return select(ZERO, vec4f(1.0), (v >= vec4f(P)) & (v <= vec4f(Q))); }
    case 15: { return select(ZERO, vec4f(1.0), v > ZERO); }                // y
    case 16: { return select(vec4f(P), vec4f(1.0), v > ZERO); }            // y
    case 17: { return select(v + P, vec4f(1.0), v > ZERO); }               // y
    case 18: { return geluSlope(v); }
    case 19: { return geluTanhSlope(v); }
    case 20: { return sigmoid(v) * (1.0 + v * sigmoid(-v)); }
    case 21: { return v * (1.0 - v); }                     // y
    case 22: { return (1.0 - v) * (1.0 + v); }             // y
    case 23: { return sigmoid(v); }
    case 24: { return select(clamp(v / 3.0 + 0.5, ZERO, vec4f(1.0)), v / 3.0 + 0.5, abs(v) <= vec4f(3.0)); }
    case 25: { return mishSlope(v); }
    case 26: { return sigmoid(-v); }
    default: { return ZERO; }                              // sign, floor, round
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&dx)) { return; }
  dx[i] = slope(kept[i]) * dy[i];
}
