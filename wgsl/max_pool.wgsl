// max_pool.wgsl: the largest value of each window.
//
//   y[p,o] = max over k of x[p, o*S - P + k*DIL]     positions outside x do not take part
//   index[p,o] = flat position in the plane of the first maximum in row-major order
//
// x, y, index  [P, ID, IH, IW] f32, [P, OD, OH, OW] f32 and u32      P = N*C planes; 2-D is ID = OD = KD = 1
// grid         linear, one thread per output, folded
// numerics     comparisons only, so exact; starts from the lowest f32
// source       PyTorch, `max_pool2d` and `max_pool3d`
// used by src/kernels/pool.ts
const ID: u32 = 1;
const IH: u32 = 8;
const IW: u32 = 8;
const OD: u32 = 1;
const OH: u32 = 4;
const OW: u32 = 4;
const KD: i32 = 1;         // window
const KH: i32 = 2;
const KW: i32 = 2;
const SD: i32 = 1;         // stride
const SH: i32 = 2;
const SW: i32 = 2;
const PAD_D: i32 = 0;
const PAD_H: i32 = 0;
const PAD_W: i32 = 0;
const DD: i32 = 1;         // dilation
const DH: i32 = 1;
const DW: i32 = 1;
const INSIDE: bool = true; // no window leaves x, so nothing needs checking
const SAVE: bool = true;   // write index
const WG: u32 = 64;        // threads per workgroup

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> index: array<u32>;

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&y)) { return; }
  let plane = i / (OD * OH * OW) * (ID * IH * IW);
  let d0 = i32(i / (OH * OW) % OD) * SD - PAD_D;
  let h0 = i32(i / OW % OH) * SH - PAD_H;
  let w0 = i32(i % OW) * SW - PAD_W;
  var best = -0x1.fffffep+127;      // lowest f32
  var at = select(0xffffffffu, (u32(d0) * IH + u32(h0)) * IW + u32(w0), INSIDE);   // all ones: nothing seen yet
  for (var kd = 0; kd < KD; kd++) {
    let d = u32(d0 + kd * DD);      // negative positions wrap to huge ones
    if (!INSIDE && d >= ID) { continue; }
    for (var kh = 0; kh < KH; kh++) {
      let h = u32(h0 + kh * DH);
      if (!INSIDE && h >= IH) { continue; }
      for (var kw = 0; kw < KW; kw++) {
        let w = u32(w0 + kw * DW);
        if (!INSIDE && w >= IW) { continue; }
        let j = (d * IH + h) * IW + w;
        let v = x[plane + j];
        if (v > best || (!INSIDE && at == 0xffffffffu)) {
          best = v;
          at = j;
        }
      }
    }
  }
  y[i] = best;
  if (SAVE) { index[i] = at; }
}
