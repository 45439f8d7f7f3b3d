// pad.wgsl: x in the middle of a larger y (or a part of x, where BEFORE is negative), the rim filled by MODE.
//
//   y[o] = x[i],  i = (o - BEFORE) / STEP per dimension; VALUE where no such i is in x (constant)
//
// x, y      [N0, ..., N5], [o0, O1, ..., O5] T; o0 follows from arrayLength; BEFORE and STEP per dimension
// MODE      0 constant, 1 reflect (edge not repeated), 2 replicate, 3 circular; STEP > 1 only with 0: it spreads x out,
//           which is the gradient of a slice with that step
// T         a scalar, or a vector of four where the last dimension allows it (all sizes counted in T)
// grid      linear, one thread per element of y, folded at 65,535 workgroups
// numerics  exact: values are only moved
// source    PyTorch, `pad`
// used by src/kernels/pad.ts
alias T = f32;
const VALUE = T(0);
const MODE: u32 = 0;
const N0: i32 = 4;
const N1: i32 = 1;
const N2: i32 = 1;
const N3: i32 = 1;
const N4: i32 = 1;
const N5: i32 = 1;
const O1: u32 = 1;
const O2: u32 = 1;
const O3: u32 = 1;
const O4: u32 = 1;
const O5: u32 = 1;
const BEFORE0: i32 = 0;
const BEFORE1: i32 = 0;
const BEFORE2: i32 = 0;
const BEFORE3: i32 = 0;
const BEFORE4: i32 = 0;
const BEFORE5: i32 = 0;
const STEP0: i32 = 1;
const STEP1: i32 = 1;
const STEP2: i32 = 1;
const STEP3: i32 = 1;
const STEP4: i32 = 1;
const STEP5: i32 = 1;
const WG: u32 = 64;   // threads per workgroup

@group(0) @binding(0) var<storage, read> x: array<T>;
@group(0) @binding(1) var<storage, read_write> y: array<T>;

// The place in a line of n elements that position o of the padded line shows, or -1 for VALUE.
fn place(o: u32, before: i32, step: i32, n: i32) -> i32 {
  let i = i32(o) - before;
  switch MODE {
    case 1: {
      if (i < 0) { return -i; }
      return select(i, 2 * (n - 1) - i, i >= n);
    }
    case 2: { return clamp(i, 0, n - 1); }
    case 3: {
      if (i < 0) { return i + n; }
      return select(i, i - n, i >= n);
    }
    default: {
      let inside = i >= 0 && i % step == 0 && i / step < n;
      return select(-1, i / step, inside);
    }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let o = id.y * (groups.x * WG) + id.x;
  if (o >= arrayLength(&y)) { return; }
  let i5 = place(o % O5, BEFORE5, STEP5, N5);
  let r4 = o / O5;
  let i4 = place(r4 % O4, BEFORE4, STEP4, N4);
  let r3 = r4 / O4;
  let i3 = place(r3 % O3, BEFORE3, STEP3, N3);
  let r2 = r3 / O3;
  let i2 = place(r2 % O2, BEFORE2, STEP2, N2);
  let r1 = r2 / O2;
  let i1 = place(r1 % O1, BEFORE1, STEP1, N1);
  let i0 = place(r1 / O1, BEFORE0, STEP0, N0);
  if (min(min(min(i0, i1), min(i2, i3)), min(i4, i5)) < 0) {
    y[o] = VALUE;
    return;
  }
  y[o] = x[((((i0 * N1 + i1) * N2 + i2) * N3 + i3) * N4 + i4) * N5 + i5];
}
