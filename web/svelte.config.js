// No inline styles and no markup from strings: what the page policy forbids, the compiler does not produce.
export default { compilerOptions: { runes: true, fragments: 'tree' } };
