// optim_update.wgsl: one step of two parameters and their state, in place.
//
//   g = dp + weight_decay * p, then by RULE
//   0 SGD      m = first ? g : momentum * m + (1 - dampening) g
//              p -= lr * (g + momentum * m | m | g)                  nesterov | momentum | plain
//   1 Adam     m += (1 - beta1)(g - m);  v += (1 - beta2)(g^2 - v)
//              p = p * keep - lr * m / bias1 / (sqrt(v / bias2) + eps)
//   2 RMSprop  v += (1 - alpha)(g^2 - v);  m = momentum * m + g / (sqrt(v - mean^2) + eps);  p -= lr * m
//
// p0, p1    parameters, read as vec4 (buffers are padded); g0, g1 their gradients; slots [2] u32 their numbers in rates
// s0, s1    state, STATES vec4 for each vec4 of the parameter: SGD m; Adam m, v, largest v; RMSprop v, m, mean of g
// rates     [P, 4] vec4 f32, written by optim_begin.wgsl: flags and bias corrections, then numbers of the rule
// grid      one workgroup per WG * ITEMS vec4 of p0, then of p1
// numerics  f32; numbers of the rule were computed in float64
// source    PyTorch, `SGD`, `Adam`, `AdamW` and `RMSprop`; papers in src/nn/optim.ts
// used by src/nn/optim/optimizer.ts

const WG: u32 = 64;        // threads per workgroup
const ITEMS: u32 = 4;      // vec4 per thread
const RULE: u32 = 1;
const STATES: u32 = 2;

@group(0) @binding(0) var<storage, read> slots: array<u32>;
@group(0) @binding(1) var<storage, read> rates: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> g0: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> g1: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> p0: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> p1: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> s0: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> s1: array<vec4<f32>>;

struct State { a: vec4f, b: vec4f, c: vec4f }
struct Rates { begin: vec4f, x: vec4f, y: vec4f, z: vec4f }

// x = (lr, momentum, 1 - dampening, weight_decay), y.x = nesterov
fn sgd(p: vec4f, dp: vec4f, s: ptr<function, State>, r: Rates) -> vec4f {
  let g = dp + r.x.w * p;
  if (STATES == 0) { return p - r.x.x * g; }
  let m = select(r.x.y * (*s).a + r.x.z * g, g, r.begin.y > 0.0);
  (*s).a = m;
  return p - r.x.x * select(m, g + r.x.y * m, r.y.x > 0.0);
}

// x = (lr, beta1, beta2, eps), y.xy = (weight_decay, 1 - lr * decoupled weight decay), z.xy = (1 - beta1, 1 - beta2)
fn adam(p: vec4f, dp: vec4f, s: ptr<function, State>, r: Rates) -> vec4f {
  let g = dp + r.y.x * p;
  (*s).a += r.z.x * (g - (*s).a);
  (*s).b += r.z.y * (g * g - (*s).b);   // 1 - beta2 keeps the digits that beta2 has lost in f32
  var v = (*s).b;
  if (STATES == 3) {
    (*s).c = max((*s).c, v);
    v = (*s).c;
  }
  return p * r.y.y - (r.x.x * r.begin.z) * (*s).a / (sqrt(v) * r.begin.w + r.x.w);
}

// x = (lr, alpha, 1 - alpha, eps), y.xy = (weight_decay, momentum)
fn rmsprop(p: vec4f, dp: vec4f, s: ptr<function, State>, r: Rates) -> vec4f {
  let g = dp + r.y.x * p;
  (*s).a += r.x.z * (g * g - (*s).a);
  var v = (*s).a;
  if (STATES == 3) {
    (*s).c += r.x.z * (g - (*s).c);
    v = max(v - (*s).c * (*s).c, vec4f());
  }
  var change = g / (sqrt(v) + r.x.w);
  if (STATES > 1) {
    change += r.y.y * (*s).b;
    (*s).b = change;
  }
  return p - r.x.x * change;
}

fn update(p: vec4f, dp: vec4f, s: ptr<function, State>, r: Rates) -> vec4f {
  switch RULE {
    case 0: { return sgd(p, dp, s, r); }
    case 1: { return adam(p, dp, s, r); }
    default: { return rmsprop(p, dp, s, r); }
  }
}

@compute @workgroup_size(WG)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let block = id.y * groups.x + id.x;
  let blocks0 = (arrayLength(&p0) + WG * ITEMS - 1) / (WG * ITEMS);
  let second = block >= blocks0;
  let slot = slots[select(0u, 1u, second)] * 4;
  let r = Rates(rates[slot], rates[slot + 1], rates[slot + 2], rates[slot + 3]);
  if (r.begin.x == 0.0) { return; }   // no gradient, or a step to skip
  let start = (block - select(0u, blocks0, second)) * (WG * ITEMS) + local;
  let end = min(start + WG * ITEMS, select(arrayLength(&p0), arrayLength(&p1), second));
  for (var i = start; i < end; i += WG) {
    var s = State();
    if (second) {
      if (STATES > 0) { s.a = s1[i * STATES]; }
      if (STATES > 1) { s.b = s1[i * STATES + 1]; }
      if (STATES > 2) { s.c = s1[i * STATES + 2]; }
      p1[i] = update(p1[i], g1[i], &s, r);
      if (STATES > 0) { s1[i * STATES] = s.a; }
      if (STATES > 1) { s1[i * STATES + 1] = s.b; }
      if (STATES > 2) { s1[i * STATES + 2] = s.c; }
    } else {
      if (STATES > 0) { s.a = s0[i * STATES]; }
      if (STATES > 1) { s.b = s0[i * STATES + 1]; }
      if (STATES > 2) { s.c = s0[i * STATES + 2]; }
      p0[i] = update(p0[i], g0[i], &s, r);
      if (STATES > 0) { s0[i * STATES] = s.a; }
      if (STATES > 1) { s0[i * STATES + 1] = s.b; }
      if (STATES > 2) { s0[i * STATES + 2] = s.c; }
    }
  }
}
