// What an automatic checker of WCAG 2.2 AA looks at; returns what is wrong.
() => {
  const found = [], seen = (node) => node.getClientRects().length > 0 && getComputedStyle(node).visibility !== 'hidden';
  const channel = (v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const colour = (text) => (text.match(/[0-9.]+/g) || []).map(Number);
  const ground = (node) => { for (let at = node; at; at = at.parentElement) {
    const c = colour(getComputedStyle(at).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  for (const node of document.querySelectorAll('input, select, textarea, button, a, summary')) {
    if (!seen(node)) continue;
    const label = node.labels && node.labels.length ? node.labels[0].textContent : '';
    const name = (node.getAttribute('aria-label') || label || node.textContent || '').trim();
    if (!name) found.push('no name: ' + node.outerHTML.slice(0, 90));
    const box = node.getBoundingClientRect();
    if (!node.matches('.skip') && node.tagName !== 'A' && (box.width < 24 || box.height < 24))
      found.push('small: ' + Math.round(box.width) + 'x' + Math.round(box.height) + ' ' + node.outerHTML.slice(0, 90));
  }
  for (const node of document.querySelectorAll('body *')) {
    if (!seen(node) || node.closest('.skip, [disabled], option, datalist')) continue;
    if (![...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())) continue;
    const a = light(colour(getComputedStyle(node).color)), b = light(ground(node));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) found.push('contrast ' + ratio.toFixed(2) + ': ' + node.outerHTML.slice(0, 90));
  }
  let level = 0;
  for (const heading of document.querySelectorAll('h1, h2, h3')) {
    const now = Number(heading.tagName[1]);
    if (now > level + 1) found.push('heading jumps: ' + heading.textContent);
    level = now;
  }
  const ids = [...document.querySelectorAll('[id]')].map((node) => node.id);
  for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) found.push('id twice: ' + id);
  if (!document.documentElement.lang) found.push('no language');
  if (!document.querySelector('[role=status], [aria-live]')) found.push('no live region');
  for (const table of document.querySelectorAll('table')) if (seen(table) && !table.querySelector('th[scope]')) found.push('table without headings');
  return found;
}
