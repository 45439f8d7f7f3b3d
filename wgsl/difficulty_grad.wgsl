// difficulty_grad.wgsl: the gradient to the confidence map, of its weights or of a cross entropy weighted by them.
//
//   dm[i] = -scale * sign(1 - M) * (POWER |1 - M|^(POWER - 1) + 1)                      M = confidence[i]
//   scale:  MODE 0 dy[i] * ce[i];  1 dy[0] * ce[i];  2 dy[0] * ce[i] / total[1];
//           3 dy[0] * (total[3] / total[1]) / total[1];  4 dy[i], for the weights alone
//           0 where the label is IGNORE or no class, but for MODE 4
//
// confidence, labels, ce, dm   [n] f32; labels i32 or u32      dy   [n] or [1] f32
// total     [4] f32, sums left by loss_finish.wgsl
// grid      linear, one thread per element, folded at 65,535 workgroups
// numerics  pow of a base of at least 1e-30; divisors are at least 1e-30
// source    MSALDS-UNet, equation 2
// used by src/kernels/loss/difficulty.ts

alias T = i32;                 // of the labels
const WG: u32 = 64;            // threads per workgroup
const C: u32 = 2;              // classes
const IGNORE: i32 = -100;
const POWER: f32 = 2.0;
const MODE: u32 = 2;

@group(0) @binding(0) var<storage, read> confidence: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<T>;
@group(0) @binding(2) var<storage, read> ce: array<f32>;
@group(0) @binding(3) var<storage, read> total: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dm: array<f32>;

fn scale_of(i: u32) -> f32 {
  if (MODE == 4) { return dy[i]; }
  let label = u32(labels[i]);
  if (label >= C || i32(label) == IGNORE) { return 0.0; }
  switch MODE {
    case 0: { return dy[i] * ce[i]; }
    case 1: { return dy[0] * ce[i]; }
    case 2: { return dy[0] * ce[i] / max(total[1], 1e-30); }
    default: { return dy[0] * (total[3] / max(total[1], 1e-30)) / max(total[1], 1e-30); }
  }
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let i = id.y * (groups.x * WG) + id.x;
  if (i >= arrayLength(&dm)) { return; }
  let rest = 1.0 - confidence[i];
  var slope = POWER * abs(rest);
  if (POWER != 2.0) { slope = POWER * pow(max(abs(rest), 1e-30), POWER - 1.0); }
  dm[i] = -scale_of(i) * sign(rest) * (slope + 1.0);
}
