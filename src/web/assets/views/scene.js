/**
 * The picture at the door: a desk by a window, morning or night with the colours of the style
 * sheet. Purely decorative.
 */

import { svg } from '../dom.js';

const rect = (name, x, y, width, height, rx = 0) => svg('rect', { class: name, x, y, width, height, rx });
const circle = (name, cx, cy, r) => svg('circle', { class: name, cx, cy, r });
const path = (name, d) => svg('path', { class: name, d });

export function scene() {
  return svg(
    'svg',
    { class: 'scene', viewBox: '0 0 400 300', 'aria-hidden': 'true' },
    rect('scene-sky', 92, 26, 216, 168, 14),
    circle('scene-orb', 246, 78, 24),
    circle('scene-bite', 256, 70, 21),
    [[122, 60], [158, 46], [190, 84], [136, 104], [284, 50], [206, 52]].map(([x, y]) => circle('scene-star', x, y, 1.6)),
    path('scene-hill far', 'M92 158c34-30 62-32 96-10s74 14 120-16v48a14 14 0 0 1-14 14H106a14 14 0 0 1-14-14z'),
    path('scene-hill', 'M92 174c52-24 96-14 132-4s60 2 84-8v18a14 14 0 0 1-14 14H106a14 14 0 0 1-14-14z'),
    path('scene-frame', 'M200 26v168M92 112h216'),
    rect('scene-frame', 92, 26, 216, 168, 14),
    path('scene-glow', 'M132 150 62 246h168z'),
    rect('scene-desk', 28, 246, 344, 10, 5),
    path('scene-desk leg', 'M62 256v34M338 256v34'),
    path('scene-lamp', 'M84 246h44M106 246l-20-54 36-50'),
    path('scene-shade', 'M108 134l34-14 22 30-44 10z'),
    rect('scene-book a', 262, 232, 76, 14, 3),
    rect('scene-book b', 270, 219, 60, 13, 3),
    rect('scene-book c', 266, 207, 66, 12, 3),
    path('scene-page', 'M150 242c12-8 24-8 34 0 10-8 22-8 34 0v4h-68z'),
    path('scene-steam', 'M244 214c-4-6 4-8 0-14'),
    path('scene-cup', 'M234 222h18v16a8 8 0 0 1-8 8h-2a8 8 0 0 1-8-8z'),
  );
}
