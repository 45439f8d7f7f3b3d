// conv_forward_subgroup.wgsl: convolution, any stride, dilation and groups, for adapters where loads are dear.
//
//   y[n,co,o] = bias[co] + sum over ci, k of  w[co,ci,k] * x[n,ci,i],   i = (o * S - P + k * DIL) / L   per axis
//
// x, y      [N, groups*cin, id, ih, iw], [N, groups*cout, od, oh, ow] f32; taps where i is no integer or outside x add nothing
// w         packed by conv_pack_weights.wgsl with PACK = SG: [groups][blocks][K][cin][SG]
// bias      [groups*cout], read when biased = 1
// L         1: ordinary convolution. L > 1 (then S = 1): outputs o = phase + L*j are computed phase by phase, which is
//           the input gradient of a convolution of stride L, and the transposed convolution
// method    lanes hold SG output channels; a thread keeps TC x PV*SG sums and spreads pixels by subgroupBroadcast
// grid      [pixel tiles, folded over x and y] x [LD*LH*LW * groups * ceil(blocks / TC)]
// numerics  f32; the products of an output are added by one thread in one order, so the bits repeat
// source    own work; implicit matrix products as in cuDNN, Chetlur et al. 2014, arXiv:1410.0759
// used by src/kernels/convRun.ts on software adapters
enable subgroups;

const SG: u32 = 8;         // lanes of a subgroup
const TC: u32 = 4;         // channel vectors per thread
const PV: u32 = 2;         // pixel vectors per thread
const SD: u32 = 1;         // stride
const SH: u32 = 1;
const SW: u32 = 1;
const DD: i32 = 1;         // dilation
const DH: i32 = 1;
const DW: i32 = 1;
const LD: i32 = 1;         // fractional stride
const LH: i32 = 1;
const LW: i32 = 1;

struct Geometry {
  groups: u32, cin: u32, cout: u32,   // channels per group
  id: u32, ih: u32, iw: u32,
  od: u32, oh: u32, ow: u32,
  kd: u32, kh: u32, kw: u32,
  pad_d: i32, pad_h: i32, pad_w: i32, // zeros before the first voxel; negative crops
  biased: u32,
}

const_assert SG == 4 || SG == 8;
const_assert (SD == 1 || LD == 1) && (SH == 1 || LH == 1) && (SW == 1 || LW == 1);

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
var<immediate> s: Geometry;

// The value of one lane, in all lanes. The loops around it are unrolled, so one case remains.
fn spread(value: f32, lane: u32) -> f32 {
  switch lane {
    case 0: { return subgroupBroadcast(value, 0); }
    case 1: { return subgroupBroadcast(value, 1); }
    case 2: { return subgroupBroadcast(value, 2); }
    case 3: { return subgroupBroadcast(value, 3); }
    case 4: { return subgroupBroadcast(value, 4); }
    case 5: { return subgroupBroadcast(value, 5); }
    case 6: { return subgroupBroadcast(value, 6); }
    default: { return subgroupBroadcast(value, 7); }
  }
}

@compute @workgroup_size(SG)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(subgroup_invocation_id) lane: u32) {
  let blocks = (s.cout + SG - 1) / SG;
  let columns = (blocks + TC - 1) / TC;
  let outputs = (vec3u(s.od, s.oh, s.ow) + vec3u(vec3i(LD, LH, LW)) - 1) / vec3u(vec3i(LD, LH, LW));   // of one phase
  let each = outputs.x * outputs.y * outputs.z;
  let plane = s.id * s.ih * s.iw;
  let pixels = arrayLength(&y) / (s.groups * s.cout * s.od * s.oh * s.ow) * each;
  let tile = (id.y * groups.x + id.x) * (PV * SG);
  let block = id.z % columns * TC;
  let g = id.z / columns % s.groups;
  let phase = i32(id.z / (columns * s.groups));
  let phase_d = phase / (LW * LH);
  let phase_h = phase / LW % LH;
  let phase_w = phase % LW;

  // One pixel per lane and vector: where its input begins and its position on each axis.
  var image: array<u32, PV>;
  var at: array<vec3i, PV>;
  for (var v = 0u; v < PV; v++) {  // @unroll
    let p = min(tile + v * SG + lane, pixels - 1);
    image[v] = (p / each * s.groups + g) * (s.cin * plane);
    at[v] = vec3i(vec3u(p / (outputs.y * outputs.z) % outputs.x * SD, p / outputs.z % outputs.y * SH, p % outputs.z * SW));
  }

  var sums: array<f32, TC * PV * SG>;
  for (var kd = 0; kd < i32(s.kd); kd++) {
    let d = phase_d - s.pad_d + kd * DD;
    if (d % LD != 0) { continue; }
    for (var kh = 0; kh < i32(s.kh); kh++) {
      let h = phase_h - s.pad_h + kh * DH;
      if (h % LH != 0) { continue; }
      for (var kw = 0; kw < i32(s.kw); kw++) {
        let c = phase_w - s.pad_w + kw * DW;
        if (c % LW != 0) { continue; }
        let tap = u32((kd * i32(s.kh) + kh) * i32(s.kw) + kw);
        var start: array<u32, PV>;
        var ok: array<bool, PV>;
        for (var v = 0u; v < PV; v++) {  // @unroll
          let i = vec3u(at[v] + vec3i(d / LD, h / LH, c / LW));   // negative positions wrap to huge ones
          ok[v] = all(i < vec3u(s.id, s.ih, s.iw));
          start[v] = image[v] + select(0u, (i.x * s.ih + i.y) * s.iw + i.z, ok[v]);
        }
        for (var ci = 0u; ci < s.cin; ci++) {
          var weights: array<f32, TC>;
          for (var t = 0u; t < TC; t++) {  // @unroll
            let packed = (g * blocks + min(block + t, blocks - 1)) * (s.kd * s.kh * s.kw) + tap;
            weights[t] = w[(packed * s.cin + ci) * SG + lane];
          }
          for (var v = 0u; v < PV; v++) {  // @unroll
            let value = select(0.0, x[start[v] + ci * plane], ok[v]);
            for (var j = 0u; j < SG; j++) {  // @unroll
              let pixel = spread(value, j);
              for (var t = 0u; t < TC; t++) {  // @unroll
                let k = (t * PV + v) * SG + j;
                sums[k] = fma(weights[t], pixel, sums[k]);
              }
            }
          }
        }
      }
    }
  }

  // Little code: a loop that stays one, its bound being no constant, stores the first pixel and moves the others up.
  let end = min(tile + PV * SG, pixels);
  var n = tile / each;
  var j = vec3u(tile / (outputs.y * outputs.z) % outputs.x, tile / outputs.z % outputs.y, tile % outputs.z);
  for (var p = tile; p < end; p++) {
    let o = j * vec3u(vec3i(LD, LH, LW)) + vec3u(vec3i(phase_d, phase_h, phase_w));
    if (all(o < vec3u(s.od, s.oh, s.ow))) {
      for (var t = 0u; t < TC; t++) {  // @unroll
        let co = (block + t) * SG + lane;
        if (co < s.cout) {
          let b = select(0.0, bias[s.biased * (g * s.cout + co)], s.biased == 1);
          let out = ((n * s.groups + g) * s.cout + co) * (s.od * s.oh * s.ow);
          y[out + (o.x * s.oh + o.y) * s.ow + o.z] = sums[t * PV * SG] + b;
        }
      }
    }
    for (var i = 0u; i < TC * PV * SG - 1; i++) {  // @unroll
      sums[i] = sums[i + 1];
    }
    j.z++;   // counting is cheaper than dividing
    if (j.z == outputs.z) { j = vec3u(j.x, j.y + 1, 0); }
    if (j.y == outputs.y) { j = vec3u(j.x + 1, 0, 0); }
    if (j.x == outputs.x) { j.x = 0; n++; }
  }
}
