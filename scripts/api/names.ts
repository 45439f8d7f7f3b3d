// The public names of the package, as TypeScript's compiler sees them.
import { join, relative } from "node:path";
import ts from "typescript";

/** One public name. */
export interface Entry {
  /** As a user writes it: "conv2d", "nn.Conv2d". */
  readonly name: string;
  /** Path of its declaration from src/. */
  readonly file: string;
  readonly declaration: ts.Declaration;
  /** The text of its docstring; empty where it has none. */
  readonly doc: string;
}

const ENTRY_POINTS = ["src/index.ts", "src/onnx/index.ts", "src/tensorboard/index.ts", "src/kits/index.ts"];

/** Every public name of the package in `root`, in the order of its index files. */
export function publicNames(root: string): Entry[] {
  const { config } = ts.readConfigFile(join(root, "tsconfig.json"), (path) => ts.sys.readFile(path));
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const program = ts.createProgram(
    ENTRY_POINTS.map((file) => join(root, file)),
    options,
  );
  const checker = program.getTypeChecker();

  const inModule = (module: ts.Symbol, prefix: string): Entry[] =>
    checker.getExportsOfModule(module).flatMap((exported) => {
      const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
      const declaration = symbol.declarations![0];
      const name = prefix + exported.name;
      if (ts.isSourceFile(declaration)) return inModule(symbol, `${name}.`);
      const file = relative(join(root, "src"), declaration.getSourceFile().fileName).replaceAll("\\", "/");
      const doc = docOf(declaration);
      return [{ name, file, declaration, doc }];
    });

  return ENTRY_POINTS.flatMap((file) => {
    const module = checker.getSymbolAtLocation(program.getSourceFile(join(root, file))!)!;
    return inModule(module, "");
  });
}

/** What the declaration itself is called, whatever it is exported as. */
export function declaredName({ declaration }: Entry): string {
  return ts.getNameOfDeclaration(declaration)?.getText() ?? "";
}

/** The docstring of a declaration as it stands in the source, without its stars. */
export function docOf(declaration: ts.Node): string {
  const node = ts.isVariableDeclaration(declaration) ? declaration.parent.parent : declaration;
  const source = node.getSourceFile();
  const comments = ts.getLeadingCommentRanges(source.text, node.pos) ?? [];
  const last = comments
    .map(({ pos, end }) => source.text.slice(pos, end))
    .filter((text) => text.startsWith("/**"))
    .at(-1);
  if (!last) return "";
  return last
    .slice(3, -2)
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, "").trimEnd())
    .join("\n")
    .trim();
}
