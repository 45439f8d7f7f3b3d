// reduce_columns.wgsl: sum, largest or smallest of numbers that lie INNER apart; one thread makes one result.
//
//   y[o, c, i] = SCALE * reduce over r = c, c + CHUNKS, c + 2*CHUNKS, ... below R of  pre(x[o, r, i])
//
// x         [OUTER, R, INNER] T        y   [OUTER, CHUNKS, INNER] T, reduced further by another call while CHUNKS > 1
// T         f32, or vec4<f32> when INNER allows; INNER counts T
// grid      linear, one thread per element of y, folded at 65,535 workgroups
// numerics  f32; chunks are interleaved, so that neighbouring threads read neighbouring elements
// source    own work
// used by src/kernels/reduction.ts
alias T = f32;
const WG: u32 = 64;         // threads per workgroup
const OP: u32 = 0;          // 0 sum, 1 max, 2 min
const SQUARE: bool = false; // pre(v) = v * v instead of v
const R: u32 = 7;
const INNER: u32 = 5;
const CHUNKS: u32 = 1;
const SCALE: f32 = 1.0;

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;

fn pre(v: T) -> T {
  if (SQUARE) { return v * v; }
  return v;
}

fn combine(a: T, b: T) -> T {
  switch OP {
    case 0: { return a + b; }
    case 1: { return max(a, b); }
    default: { return min(a, b); }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let k = id.y * (groups.x * WG) + id.x;
  if (k >= arrayLength(&y)) { return; }
  let inner = k % INNER;
  let chunk = (k / INNER) % CHUNKS;
  let outer = k / (INNER * CHUNKS);
  let first = outer * R * INNER + inner;
  var acc = pre(x[first + chunk * INNER]);   // CHUNKS <= R, so every chunk has a number
  for (var r = chunk + CHUNKS; r < R; r += CHUNKS) {
    acc = combine(acc, pre(x[first + r * INNER]));
  }
  y[k] = acc * SCALE;
}
