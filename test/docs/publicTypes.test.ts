// What users can import: types that public signatures name, and in a browser nothing that Node lacks.
import ts from "typescript";
import { expect, test } from "vitest";
import { publicNames } from "../../scripts/api/names.ts";
import * as browser from "../../src/kits/browser.ts";
import * as kits from "../../src/kits/index.ts";
import { root } from "./blocks.ts";

const entries = publicNames(root);

/** Types of the inside, which users meet but have no use for. */
const INSIDE = ["Storage", "Settings", "Rule", "Check", "Moves", "TrainedParts"];

/** The types that a declaration names outside of function bodies, initial values and what is private. */
function namedTypes(declaration: ts.Node): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isBlock(node) || (ts.isPropertyDeclaration(node) && ts.isPrivateIdentifier(node.name))) return;
    if (ts.canHaveModifiers(node) && node.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword)) return;
    if (ts.isTypeReferenceNode(node)) found.push(node.typeName.getText());
    const value = ts.isVariableDeclaration(node) || ts.isPropertyDeclaration(node) ? node.initializer : undefined;
    ts.forEachChild(node, (child) => (child === value ? undefined : visit(child)));
  };
  visit(declaration);
  return found;
}

/** Types that a file imports from the project or exports: those that only it knows are nobody's to import. */
function sharedTypes(file: ts.SourceFile): Set<string> {
  const names = file.statements.flatMap((statement) => {
    if (ts.isImportDeclaration(statement) && (statement.moduleSpecifier as ts.StringLiteral).text.startsWith(".")) {
      const bindings = statement.importClause?.namedBindings;
      return bindings && ts.isNamedImports(bindings) ? bindings.elements.map(({ name }) => name.text) : [];
    }
    if (!ts.isInterfaceDeclaration(statement) && !ts.isTypeAliasDeclaration(statement)) return [];
    return statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) ? [statement.name.text] : [];
  });
  return new Set(names);
}

test("types in public signatures are public", () => {
  const known = new Set([...entries.map(({ name }) => name.split(".").at(-1)!), ...INSIDE]);
  const hidden = entries.flatMap(({ name, declaration }) => {
    const shared = sharedTypes(declaration.getSourceFile());
    return namedTypes(declaration).flatMap((type) =>
      shared.has(type) && !known.has(type) ? [`${type} of ${name}`] : [],
    );
  });
  expect(hidden).toEqual([]);
});

test("what wgrad/kits has in a browser it has in Node, too", () => {
  const inNode = new Set(Object.keys(kits));
  expect(Object.keys(browser).length).toBeGreaterThan(15);
  expect(Object.keys(browser).filter((name) => !inNode.has(name))).toEqual([]);
});
