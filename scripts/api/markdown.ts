// Public names as Markdown: signature, docstring, members, source.
import ts from "typescript";
import { docOf, type Entry } from "./names.ts";

/** One name's section. `linkTo` gives the address of a public type, or null. */
export function section({ name, file, declaration, doc }: Entry, linkTo: (type: string) => string | null): string {
  const shown = name.split(".").at(-1)!;
  const code = signature(declaration, shown);
  const types = typesIn(code, shown, linkTo);
  const parts = [
    `## ${name}`,
    /^interface \w+$/.test(code) ? "" : `\`\`\`ts\n${code}\n\`\`\``,
    docText(doc),
    membersOf(declaration),
    types && `Types: ${types}`,
    `Source: [src/${file}](../../src/${file})`,
  ];
  return parts.filter((part) => part !== "").join("\n\n");
}

/** A docstring as Markdown: indented lines are code. */
function docText(doc: string): string {
  const text = doc.replace(/((?:^ {2,}.*\n?(?:\n(?= {2}))?)+)/gm, (code) => `\`\`\`ts\n${outdent(code)}\n\`\`\`\n`);
  return marked(text).trim();
}

/** Outside of `code`, what Markdown would take for a tag is escaped, and what is thrown stands out. */
function marked(text: string): string {
  const parts = text.split(/(`+[^`]*`+)/);
  const prose = (part: string): string => part.replace(/<(?=[\w/])/g, "\\<").replace(/\bThrows\b/g, "**Throws**");
  return parts.map((part, i) => (i % 2 === 0 ? prose(part) : part)).join("");
}

function outdent(code: string): string {
  const lines = code.trimEnd().split("\n");
  const least = Math.min(...lines.filter((l) => l.trim() !== "").map((l) => l.search(/\S/)));
  return lines.map((l) => l.slice(least)).join("\n");
}

/** True for what is no value: interfaces and type aliases. */
export function isType(declaration: ts.Declaration): boolean {
  return ts.isInterfaceDeclaration(declaration) || ts.isTypeAliasDeclaration(declaration);
}

const isHidden = (member: ts.Node): boolean =>
  (ts.canHaveModifiers(member) &&
    (ts
      .getModifiers(member)
      ?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword || kind === ts.SyntaxKind.ProtectedKeyword) ??
      false)) ||
  ((ts.isPropertyDeclaration(member) || ts.isMethodDeclaration(member)) && ts.isPrivateIdentifier(member.name));

/** A declaration without its body, as a user needs it. */
function signature(declaration: ts.Declaration, name: string): string {
  if (ts.isFunctionDeclaration(declaration)) return headOf(declaration).replace(/^(async )?function \w+/, name);
  if (ts.isClassDeclaration(declaration)) return classText(declaration, name);
  if (ts.isInterfaceDeclaration(declaration)) return headText(declaration, name, "interface");
  if (ts.isTypeAliasDeclaration(declaration)) return plain(declaration.getText());
  if (ts.isVariableDeclaration(declaration)) return constText(declaration, name);
  return plain(declaration.getText());
}

const plain = (text: string): string =>
  text
    .replace(/^export /, "")
    .replace(/\{$/, "")
    .trim();

/** Everything before the body. */
function headOf(node: ts.FunctionLikeDeclaration): string {
  const text = node.getText();
  return plain(node.body ? text.slice(0, node.body.getStart() - node.getStart()) : text);
}

/** "class X extends Y" without members. */
function headText(node: ts.ClassDeclaration | ts.InterfaceDeclaration, name: string, kind: string): string {
  const parameters = node.typeParameters ? `<${node.typeParameters.map((p) => p.getText()).join(", ")}>` : "";
  const heritage = (node.heritageClauses ?? []).map((clause) => ` ${clause.getText()}`).join("");
  return `${kind} ${name}${parameters}${heritage}`;
}

function classText(node: ts.ClassDeclaration, name: string): string {
  const source = node.getSourceFile();
  const members = node.members.filter((member) => !isHidden(member));
  const lines = members.map((member) => {
    const text = ts.isFunctionLike(member) ? `${headOf(member as ts.FunctionLikeDeclaration)};` : fieldText(member);
    const behind = ts.getTrailingCommentRanges(source.text, member.end)?.[0];
    return `  ${text}${behind ? ` ${source.text.slice(behind.pos, behind.end)}` : ""}`;
  });
  return `${headText(node, name, "class")} {\n${lines.join("\n")}\n}`;
}

/** A field without its docstring; long values are left out. */
function fieldText(member: ts.Node): string {
  const text = member.getText();
  return text.length > 120 ? `${text.split(/ = |\{/)[0]};` : text;
}

function constText(declaration: ts.VariableDeclaration, name: string): string {
  const value = declaration.initializer?.getText() ?? "";
  const type = declaration.type ? `: ${declaration.type.getText()}` : "";
  if (declaration.initializer && ts.isArrowFunction(declaration.initializer))
    return `const ${name}${type} = ${headOf(declaration.initializer).replace(/\s*=>$/, "")}`;
  return value.length > 160 ? `const ${name}${type}` : `const ${name}${type} = ${value}`;
}

/** The documented members of an interface or class, as a table. */
function membersOf(declaration: ts.Declaration): string {
  if (ts.isInterfaceDeclaration(declaration)) {
    const rows = declaration.members.map((member) => row(memberName(member), typeText(member), docOf(member)));
    return rows.length === 0 ? "" : ["| field | type | |", "| --- | --- | --- |", ...rows].join("\n");
  }
  if (!ts.isClassDeclaration(declaration)) return "";
  const told = declaration.members.filter((member) => !isHidden(member) && docOf(member) !== "");
  const rows = told.map((member) => `| \`${memberName(member)}\` | ${cell(docOf(member))} |`);
  return rows.length === 0 ? "" : ["| member | |", "| --- | --- |", ...rows].join("\n");
}

const row = (name: string, type: string, doc: string): string => `| \`${name}\` | ${type} | ${cell(doc)} |`;

const cell = (text: string): string => marked(text.replace(/\s+/g, " ").replaceAll("|", "\\|"));

function memberName(member: ts.ClassElement | ts.TypeElement): string {
  const optional = "questionToken" in member && member.questionToken ? "?" : "";
  if (ts.isConstructorDeclaration(member)) return "constructor";
  if (ts.isCallSignatureDeclaration(member)) return "(call)";
  const call = ts.isMethodDeclaration(member) || ts.isMethodSignature(member) ? "()" : "";
  return `${member.name?.getText() ?? member.getText()}${optional}${call}`;
}

function typeText(member: ts.TypeElement): string {
  const text = ts.isPropertySignature(member) ? (member.type?.getText() ?? "") : member.getText().replace(/;$/, "");
  const bare = text
    .replace(/\/\*.*?\*\//gs, "")
    .replace(/\s+/g, " ")
    .replaceAll("|", "\\|");
  return bare === "" ? "" : `\`${bare}\``;
}

/** Links to the public types that a signature names. */
function typesIn(code: string, name: string, linkTo: (type: string) => string | null): string {
  const names = [...new Set(code.match(/\b[A-Z]\w+/g))].filter((type) => type !== name && type !== "Tensor");
  return names.flatMap((type) => (linkTo(type) ? [`[${type}](${linkTo(type)})`] : [])).join(", ");
}
