// pad_backward.wgsl: gradient of reflect, replicate and circular padding of one dimension.
//
//   dx[i] = dy[i + BEFORE] + sum of dy[o] over the rim positions o that show x[i]
//
// dx, dy    [outer, N, INNER], [outer, BEFORE + N + AFTER, INNER] f32
// MODE      1 reflect, 2 replicate, 3 circular, as in pad.wgsl
// grid      linear, one thread per element of dx, folded at 65,535 workgroups; each looks at all of the rim
// numerics  f32; always the same order of additions
// source    PyTorch, `pad`
// used by src/kernels/pad.ts
const MODE: u32 = 1;
const N: i32 = 4;
const INNER: u32 = 1;
const BEFORE: i32 = 1;
const AFTER: i32 = 1;
const WG: u32 = 64;   // threads per workgroup

@group(0) @binding(0) var<storage, read> dy: array<f32>;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;

// The element that rim position o shows.
fn place(o: i32) -> i32 {
  let i = o - BEFORE;
  switch MODE {
    case 1: {
      if (i < 0) { return -i; }
      return 2 * (N - 1) - i;
    }
    case 2: { return clamp(i, 0, N - 1); }
    default: { return (i + N) % N; }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let t = id.y * (groups.x * WG) + id.x;
  if (t >= arrayLength(&dx)) { return; }
  let inner = t % INNER;
  let i = i32(t / INNER % u32(N));
  let line = t / (INNER * u32(N)) * u32(BEFORE + N + AFTER);
  var sum = dy[(line + u32(i + BEFORE)) * INNER + inner];
  for (var o = 0; o < BEFORE; o++) {
    if (place(o) == i) { sum += dy[(line + u32(o)) * INNER + inner]; }
  }
  for (var o = BEFORE + N; o < BEFORE + N + AFTER; o++) {
    if (place(o) == i) { sum += dy[(line + u32(o)) * INNER + inner]; }
  }
  dx[t] = sum;
}
