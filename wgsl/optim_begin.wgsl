// optim_begin.wgsl: counts one step of every parameter that has a gradient, and writes what optim_update.wgsl needs.
//
//   counts[p] += moves
//   rates[p] = (moves, count is 1, 1 / (1 - beta1^count), 1 / sqrt(1 - beta2^count)), then its group's row
//
// hyper     [G, 3] vec4 f32   numbers of each parameter group, made by the rules of src/nn/optim/rules.ts; log(beta1)
//           and log(beta2) stand in the last two places of the second vec4 (0 for rules without bias correction)
// members   [P] u32   the group of each parameter; bit 31: it has a gradient
// skip      [1] u32   not 0: nothing happens in this step (a gradient was not finite)
// counts    [P] u32, updated in place      rates [P, 4] vec4 f32
// grid      linear, one thread per parameter
// numerics  1 - beta^count from count * log(beta) by a series near 0, which keeps its digits for betas near 1
// source    PyTorch, `torch.optim`
// used by src/nn/optim/optimizer.ts

const WG: u32 = 64;   // threads per workgroup

@group(0) @binding(0) var<storage, read> hyper: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> members: array<u32>;
@group(0) @binding(2) var<storage, read> skip: array<u32>;
@group(0) @binding(3) var<storage, read_write> counts: array<u32>;
@group(0) @binding(4) var<storage, read_write> rates: array<vec4<f32>>;

// 1 - exp(v) for v <= 0, by a series near 0 where the difference would lose its digits.
fn one_less_exp(v: f32) -> f32 {
  let tail = 1.0 + v / 5.0 * (1.0 + v / 6.0 * (1.0 + v / 7.0));
  let series = -v * (1.0 + v / 2.0 * (1.0 + v / 3.0 * (1.0 + v / 4.0 * tail)));
  return max(select(1.0 - exp(max(v, -80.0)), series, v > -0.25), 1e-30);
}

@compute @workgroup_size(WG)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let p = id.y * (groups.x * WG) + id.x;
  if (p >= arrayLength(&members)) { return; }
  let group = members[p] & 0x7fffffffu;
  let moves = (members[p] >> 31) != 0 && skip[0] == 0;
  let count = counts[p] + select(0u, 1u, moves);
  counts[p] = count;
  let logs = f32(count) * hyper[group * 3 + 1].zw;
  rates[p * 4] = vec4f(
    select(0.0, 1.0, moves),
    select(0.0, 1.0, count == 1),
    1.0 / one_less_exp(logs.x),
    inverseSqrt(one_less_exp(logs.y)),
  );
  for (var k = 0u; k < 3; k++) { rates[p * 4 + 1 + k] = hyper[group * 3 + k]; }
}
