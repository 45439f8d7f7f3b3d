// loss_scale.wgsl: the state of dynamic loss scaling, one step at a time.
//
//   OP 0: any_found |= found, after each optimiser
//   OP 1: any_found ? scale *= BACKOFF, good = 0 : good += 1 and, at INTERVAL, scale *= GROWTH, good = 0;
//         then y = any_found ? 1 : 0, any_found = 0
//   OP 2: y = x * scale, the loss or its gradient
//
// found     [1] u32   a gradient of this optimiser was not finite (OP 0)      x, y [1] f32 (OP 2; y in OP 1, too)
// scale     [1] f32, any_found, good [1] u32: state, in place
// grid      one thread
// numerics  powers of two, the default factors, scale exactly; the scale stays below 1e37
// source    PyTorch, torch.amp.GradScaler
// used by src/nn/gradScaler.ts

const OP: u32 = 1;
const GROWTH: f32 = 2.0;
const BACKOFF: f32 = 0.5;
const INTERVAL: u32 = 2000;

@group(0) @binding(0) var<storage, read> found: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> scale: array<f32>;
@group(0) @binding(3) var<storage, read_write> good: array<u32>;
@group(0) @binding(4) var<storage, read_write> any_found: array<u32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(1)
fn main() {
  switch OP {
    case 0: { any_found[0] |= found[0]; }
    case 1: {
      if (any_found[0] != 0) {
        scale[0] *= BACKOFF;
        good[0] = 0;
      } else {
        good[0] += 1;
        if (good[0] == INTERVAL) {
          // A scale that would overflow stays where it is.
          if (scale[0] < 1e37 / GROWTH) { scale[0] *= GROWTH; }
          good[0] = 0;
        }
      }
      y[0] = select(0.0, 1.0, any_found[0] != 0);
      any_found[0] = 0;
    }
    default: { y[0] = x[0] * scale[0]; }
  }
}
