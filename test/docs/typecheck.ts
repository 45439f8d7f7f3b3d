// TypeScript's findings in files that are not on the disk, beside the sources of the project.
import { dirname, join } from "node:path";
import ts from "typescript";
import { root } from "./blocks.ts";

/** The compiler's options of the project; "wgrad" is its source, and examples may leave names unused. */
export function compilerOptions(): ts.CompilerOptions {
  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const paths = { wgrad: [join(root, "src/index.ts")], "wgrad/kits": [join(root, "src/kits/index.ts")] };
  return { ...options, paths, noUnusedLocals: false, noUnusedParameters: false };
}

/** What is wrong in `files`, texts by path from the root, each a module of one program with the sources. */
export function findings(files: ReadonlyMap<string, string>): string[] {
  const texts = new Map([...files].map(([path, text]) => [join(root, path), text]));
  const folders = new Set([...texts.keys()].map(dirname));
  const host = ts.createCompilerHost(compilerOptions());
  const { readFile, fileExists, directoryExists } = host;
  host.readFile = (path) => texts.get(path) ?? readFile(path);
  host.fileExists = (path) => texts.has(path) || fileExists(path);
  host.directoryExists = (path) => folders.has(path) || directoryExists!(path);
  host.getSourceFile = (path, options) => {
    const text = host.readFile(path);
    return text === undefined ? undefined : ts.createSourceFile(path, text, options);
  };
  const program = ts.createProgram({ rootNames: [...texts.keys()], options: compilerOptions(), host });
  return [...texts.keys()].flatMap((path) => {
    const source = program.getSourceFile(path);
    return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map((found) => {
      const line = found.file ? found.file.getLineAndCharacterOfPosition(found.start ?? 0).line + 1 : 0;
      return `${path.slice(root.length + 1)}:${line} ${ts.flattenDiagnosticMessageText(found.messageText, " ")}`;
    });
  });
}
