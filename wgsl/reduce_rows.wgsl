// reduce_rows.wgsl: sum, largest or smallest of contiguous numbers; one workgroup makes one result.
//
//   y[o, c] = SCALE * reduce over r in [c*CHUNK, (c+1)*CHUNK) below R of  pre(x[o, r])
//
// x         [OUTER, R] f32             y   [OUTER, CHUNKS] f32, reduced further by another call while CHUNKS > 1
// grid      [CHUNKS, OUTER folded]
// numerics  f32; each thread sums every 64th vec4, then eight sums of eight threads, then one of eight: one fixed order
// source    own work
// used by src/kernels/reduction.ts
const WG: u32 = 64;         // threads per workgroup, summed in two steps of eight
const OP: u32 = 0;          // 0 sum, 1 max, 2 min
const SQUARE: bool = false; // pre(v) = v * v instead of v
const ALIGNED: bool = true; // every row starts at a vec4: R is a multiple of 4, or there is one row
const R: u32 = 100;
const CHUNK: u32 = 8192;    // a multiple of 4
const SCALE: f32 = 1.0;
const_assert WG == 64;

const START = select(select(0x1.fffffep+127f, -0x1.fffffep+127f, OP == 1), 0.0f, OP == 0);

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

var<workgroup> part: array<f32, WG + 8u>;   // of the threads, then of eight threads each

fn pre(v: vec4f) -> vec4f {
  if (SQUARE) { return v * v; }
  return v;
}

fn combine4(a: vec4f, b: vec4f) -> vec4f {
  switch OP {
    case 0: { return a + b; }
    case 1: { return max(a, b); }
    default: { return min(a, b); }
  }
}

fn combine(a: f32, b: f32) -> f32 {
  switch OP {
    case 0: { return a + b; }
    case 1: { return max(a, b); }
    default: { return min(a, b); }
  }
}

fn one(e: u32) -> f32 { return x[e >> 2u][e & 3u]; }

fn load(row: u32, r: u32) -> vec4f {
  let e = row * R + r;
  if (ALIGNED) { return x[e >> 2u]; }
  return vec4f(one(e), one(e + 1u), one(e + 2u), one(e + 3u));
}

fn eight(k: u32) -> f32 {
  let a = combine(combine(part[k], part[k + 1u]), combine(part[k + 2u], part[k + 3u]));
  let b = combine(combine(part[k + 4u], part[k + 5u]), combine(part[k + 6u], part[k + 7u]));
  return combine(a, b);
}

@compute @workgroup_size(WG)
fn main(
  @builtin(local_invocation_index) t: u32,
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
) {
  let row = group.z * groups.y + group.y;
  let k = row * groups.x + group.x;
  if (k >= arrayLength(&y)) { return; }
  let end = min(R, (group.x + 1u) * CHUNK);
  var acc = vec4f(START);
  for (var r = group.x * CHUNK + 4u * t; r < end; r += 4u * WG) {
    let valid = vec4u(r) + vec4u(0u, 1u, 2u, 3u) < vec4u(end);
    acc = combine4(acc, select(vec4f(START), pre(load(row, r)), valid));
  }
  part[t] = combine(combine(acc.x, acc.y), combine(acc.z, acc.w));
  workgroupBarrier();
  if (t < 8u) { part[WG + t] = eight(8u * t); }
  workgroupBarrier();
  if (t == 0u) { y[k] = eight(WG) * SCALE; }
}
