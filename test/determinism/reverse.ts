// Kernels whose workgroups run in the opposite order: the last one is told that it is the first.
import { gpu } from "../../src/gpu/device.ts";

const MAIN = /@compute\s+@workgroup_size\((\w+)\)\s*fn main\(([^{]*)\)\s*\{/;

/** The text of a kernel with its workgroups turned round along all axes; without an index of workgroups, as it is. */
export function reverseWorkgroups(text: string): string {
  const [head, size, parameters] = MAIN.exec(text)!;
  const list = [...parameters.matchAll(/@builtin\((\w+)\)\s*(\w+)\s*:\s*(\w+)/g)].map(([, builtin, name, type]) => {
    return { builtin, name, type };
  });
  const index = list.filter(({ builtin }) => builtin === "workgroup_id" || builtin === "global_invocation_id");
  if (index.length === 0) return text;
  const kept = list.filter((p) => !index.includes(p));
  const given = [
    ...kept,
    { builtin: "workgroup_id", name: "reversed_own", type: "vec3u" },
    { builtin: "num_workgroups", name: "reversed_count", type: "vec3u" },
    { builtin: "local_invocation_id", name: "reversed_local", type: "vec3u" },
  ].filter(({ builtin }, i, all) => all.findIndex((p) => p.builtin === builtin) === i);
  const named = (builtin: string) => given.find((p) => p.builtin === builtin)!.name;
  const group = `(${named("num_workgroups")} - 1u - reversed_own)`;
  const lines = index.map(({ builtin, name }) =>
    builtin === "workgroup_id"
      ? `let ${name} = ${group};`
      : `let ${name} = ${group} * vec3u(${size}, 1, 1) + ${named("local_invocation_id")};`,
  );
  const signature = given.map(({ builtin, name, type }) => `@builtin(${builtin}) ${name}: ${type}`).join(", ");
  return text.replace(head, () => `@compute @workgroup_size(${size}) fn main(${signature}) { ${lines.join(" ")}`);
}

/** All kernels that the device in use compiles from now on run so. */
export function reverseAll(): void {
  const { device } = gpu();
  const create = device.createShaderModule.bind(device);
  device.createShaderModule = (module) => create({ ...module, code: reverseWorkgroups(module.code) });
}
